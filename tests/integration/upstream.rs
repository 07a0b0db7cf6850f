//! Wheels of the index: taken as they are if they run on the target, else built.

use wheelfarm_tests::compiled::fresh_wheel;
use wheelfarm_tests::environment::architecture;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{failed, farm_of, needs_docker};

const BACKEND: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {\"demo.py\": \"\"})\n";

/// An index with `demo`, as a source and as a wheel that needs a library which no system has; `plain`, as a wheel;
/// and `source`, as a source.
fn index() -> Index {
    let folder = tempfile::tempdir().unwrap();
    let wheel = fresh_wheel(folder.path(), folder.path(), "demo").unwrap();
    let name = format!("demo-1.0-cp311-cp311-manylinux_2_25_{}.whl", architecture());
    Index::start()
        .unwrap()
        .with(&Sdist::with_backend("demo", "1.0", &[], BACKEND))
        .unwrap()
        .with(&Sdist::with_backend("source", "1.0", &[], BACKEND))
        .unwrap()
        .with_file("demo", &name, fs_err::read(wheel).unwrap())
        .with_file(
            "plain",
            "plain-1.0-py3-none-any.whl",
            pure_wheel("plain", "1.0", "").unwrap(),
        )
}

#[test]
fn a_wheel_that_does_not_run_on_the_target_is_built_instead() {
    needs_docker!();
    let index = index();
    let farm = farm_of(&index);
    let arguments = ["demo", "plain", "--image", "debian-12"];
    let report = farm.build(arguments).unwrap().success().unwrap();
    let demo = report.wheel("demo", "3.11").unwrap();
    assert_eq!(demo.origin, "built");
    assert!(demo.because.contains("libnear.so.1"), "{}", demo.because);
    let plain = report.wheel("plain", "3.11").unwrap();
    assert_eq!((plain.origin.as_str(), plain.findings.len()), ("index", 0));

    let again = farm.build(arguments).unwrap().success().unwrap();
    assert_eq!((again.containers, again.downloaded), (0, 0));
    assert_eq!(again.wheel("demo", "3.11").unwrap().origin, "cached");

    // Who asks for the index's wheel gets it, and is told.
    let report = farm
        .build([&arguments[..], &["--only-upstream", "demo"]].concat())
        .unwrap()
        .success()
        .unwrap();
    let demo = report.wheel("demo", "3.11").unwrap();
    assert_eq!(demo.origin, "index");
    assert!(
        demo.findings
            .iter()
            .any(|finding| finding.contains("libnear.so.1")),
        "{demo:?}"
    );
    assert_eq!(report.containers, 0);
}

#[test]
fn what_is_only_to_come_from_the_index_is_never_built() {
    needs_docker!();
    let index = index();
    let farm = farm_of(&index);
    let arguments = [
        "source",
        "--image",
        "debian-12",
        "--only-upstream",
        "source",
    ];
    let run = farm.build(arguments).unwrap();
    failed(
        &run,
        2,
        &["source 1.0", "not to be built"],
        &["source-1.0.tar.gz"],
    );
    assert_eq!(run.report().unwrap().containers, 0);
    let run = farm
        .run([
            "build",
            "source",
            "--only-upstream",
            "source",
            "--from-source",
            "source",
        ])
        .unwrap();
    failed(&run, 2, &["`source`"], &[]);
}
