//! psycopg2 for three Pythons in one call: what comes out is what was promised.

use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::bare::BareRuntime;
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::environment::architecture;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::postgres::Postgres;
use wheelfarm_tests::psycopg2::query_over_tls;
use wheelfarm_tests::sha256;
use wheelfarm_tests::wheel::{glibc, names, platforms, python_tag, read};

use crate::support::{COLUMNS, files, has_extension, main_job, needs_docker, wheels};

#[test]
fn each_python_gets_a_wheel_that_its_image_allows() {
    needs_docker!();
    let job = main_job();
    assert_eq!(job.report.version, 1);
    assert_eq!(job.report.wheels.len(), COLUMNS.len());
    assert!(job.report.failures.is_empty());
    assert!(
        job.report.containers > 0,
        "the store was empty: something must have run"
    );
    for (python, image, newest) in COLUMNS {
        let wheel = job.report.wheel("psycopg2", python).unwrap();
        assert_eq!(wheel.image, image);
        assert_eq!(wheel.origin, "built");
        assert_eq!(
            python_tag(&wheel.filename),
            format!("cp{}", python.replace('.', ""))
        );
        let lowest = glibc(platforms(&wheel.filename));
        assert!(
            lowest.is_some_and(|lowest| lowest <= newest),
            "{}",
            wheel.filename
        );
        for platform in platforms(&wheel.filename) {
            assert!(platform.ends_with(architecture()), "{}", wheel.filename);
        }
        let bytes = fs_err::read(&wheel.path).unwrap();
        assert_eq!(sha256(&bytes), wheel.sha256);
        assert_eq!(bytes.len() as u64, wheel.size);
    }
    assert_eq!(
        wheels(&job.out).len(),
        COLUMNS.len(),
        "{:?}",
        files(&job.out)
    );
}

#[test]
fn auditwheel_agrees_with_every_tag() {
    needs_docker!();
    let reference = AuditWheel::install().unwrap();
    for (python, ..) in COLUMNS {
        reference.agrees(&main_job().wheel(python)).unwrap();
    }
}

#[test]
fn the_libraries_are_in_the_wheel_and_reported() {
    needs_docker!();
    for (python, ..) in COLUMNS {
        let job = main_job();
        let wheel = job.report.wheel("psycopg2", python).unwrap();
        let inside = names(&job.wheel(python)).unwrap();
        for soname in ["libpq.so.5", "libssl.so.", "libcrypto.so."] {
            let vendored = wheel
                .vendored
                .iter()
                .find(|vendored| vendored.soname.starts_with(soname));
            let vendored =
                vendored.unwrap_or_else(|| panic!("{soname} is not in {}", wheel.filename));
            assert!(vendored.path.starts_with("psycopg2.libs/"), "{vendored:?}");
            assert!(
                inside.contains(&vendored.path),
                "{vendored:?} is not in {inside:?}"
            );
            let package = vendored.package.as_deref().unwrap_or_default();
            assert!(
                package.starts_with("lib"),
                "{vendored:?} comes from no package"
            );
        }
        let shared: Vec<_> = inside
            .iter()
            .filter(|name| name.starts_with("psycopg2.libs/"))
            .collect();
        assert_eq!(shared.len(), wheel.vendored.len(), "{shared:?}");
        // What the platform promises stays outside.
        for soname in ["libc.so.6", "libpthread.so.0", "libdl.so.2"] {
            assert!(
                !wheel
                    .vendored
                    .iter()
                    .any(|vendored| vendored.soname == soname),
                "{soname}"
            );
        }
    }
}

#[test]
fn the_bill_of_materials_names_what_was_vendored() {
    needs_docker!();
    let job = main_job();
    for (python, ..) in COLUMNS {
        let path = job.wheel(python);
        let inside = names(&path).unwrap();
        let sbom = inside
            .iter()
            .find(|name| name.contains(".dist-info/sboms/") && has_extension(name, "json"));
        let sbom: serde_json::Value =
            serde_json::from_slice(&read(&path, sbom.unwrap()).unwrap()).unwrap();
        assert_eq!(sbom["bomFormat"], "CycloneDX");
        let components = sbom["components"].as_array().unwrap();
        for vendored in &job.report.wheel("psycopg2", python).unwrap().vendored {
            let package = vendored.package.as_deref().unwrap();
            let (name, version) = package.split_once(' ').unwrap();
            let named = |component: &serde_json::Value| {
                component["name"] == name && component["version"] == version
            };
            assert!(
                components.iter().any(named),
                "{package} is not in {components:?}"
            );
        }
    }
}

#[test]
fn every_module_was_imported_on_a_bare_runtime() {
    needs_docker!();
    for (python, image, _) in COLUMNS {
        let proof = main_job()
            .report
            .wheel("psycopg2", python)
            .unwrap()
            .proof
            .clone()
            .unwrap();
        assert!(
            proof.imported.contains(&"psycopg2._psycopg".to_owned()),
            "{proof:?}"
        );
        assert!(proof.failed.is_empty(), "{proof:?}");
        // Not by the farm's word alone.
        let runtime = BareRuntime::of(&Engine::connect().unwrap(), image);
        runtime.is_bare().unwrap();
        let program =
            "import psycopg2.extras, sys; print(sys.version_info[:2], psycopg2.__libpq_version__)";
        let text = runtime
            .python(&[&main_job().wheel(python)], program, false)
            .unwrap();
        assert!(
            text.starts_with(&format!("({})", python.replace('.', ", "))),
            "{text}"
        );
    }
}

#[test]
fn a_query_over_tls_goes_through_the_vendored_libraries() {
    needs_docker!();
    let engine = Engine::connect().unwrap();
    let postgres = Postgres::start().unwrap();
    for (python, image, _) in COLUMNS {
        let runtime = BareRuntime::of(&engine, image);
        let query = query_over_tls(&runtime, &postgres, &main_job().wheel(python)).unwrap();
        assert!(query.tls.starts_with("TLSv1."), "{query:?}");
        assert!(query.libpq >= 130_000, "{query:?}");
        for library in ["libpq", "libssl", "libcrypto"] {
            assert!(
                query.libraries.iter().any(|path| path.contains(library)),
                "{library}: {query:?}"
            );
        }
        assert!(query.outside.is_empty(), "{query:?}");
    }
    assert!(postgres.log().contains("SSL enabled"), "{}", postgres.log());
}

#[test]
fn two_builds_from_empty_stores_give_the_same_bytes() {
    needs_docker!();
    let first = main_job();
    let farm = Farm::new().unwrap();
    let report = farm
        .build(["psycopg2", "--python", "3.11", "--no-prove"])
        .unwrap()
        .success()
        .unwrap();
    let wheel = report.wheel("psycopg2", "3.11").unwrap();
    assert_eq!(wheel.origin, "built");
    assert!(wheel.proof.is_none());
    let path = first.wheel("3.11");
    assert_eq!(wheel.filename, path.file_name().unwrap().to_string_lossy());
    let (one, two) = (
        fs_err::read(path).unwrap(),
        fs_err::read(farm.out().join(&wheel.filename)).unwrap(),
    );
    assert_eq!(sha256(&one), sha256(&two));
}
