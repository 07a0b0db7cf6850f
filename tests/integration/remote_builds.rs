//! Builds on a Remote Execution cluster: buildbox-casd, a complete one on one node.

use wheelfarm_tests::environment::{scratch_directory, variable};
use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::registry::{Access, Registry};
use wheelfarm_tests::remote_execution::{Casd, CasdSettings};
use wheelfarm_tests::report::Report;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{failed, main_job, needs_docker, only};

/// Where no engine is.
const NOWHERE: &str = "unix:///nonexistent/docker.sock";
const USER: &str = "properties = { unixUID = '65532', unixGID = '65532' }";
/// What makes of an action what Docker makes of it.
const CHROOT: &str = "image-mode = 'chroot'\nproperties = { unixUID = '65532', unixGID = '65532' }";

/// A farm on `cluster`, with a store of its own.
fn farm_on(address: &str, settings: &str) -> Farm {
    configured(Farm::new().unwrap(), address, settings)
}

fn configured(farm: Farm, address: &str, settings: &str) -> Farm {
    let text =
        format!("[farm]\nexecutor = 'reapi'\n[remote]\nendpoint = '{address}'\n{settings}\n");
    farm.configure(&text).unwrap()
}

fn build(farm: &Farm, arguments: &[&str]) -> Report {
    farm.build(arguments).unwrap().success().unwrap()
}

fn grpc(casd: &Casd) -> String {
    format!("grpc://127.0.0.1:{}", casd.port())
}

/// No two builds of it are the same.
const RANDOM: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, {"wfrandom.py": "number = %r" % os.urandom(8).hex()})
"#;

const PSYCOPG2: [&str; 3] = ["psycopg2", "--python", "3.11"];

#[test]
fn a_cluster_builds_the_same_bytes_as_docker_and_a_second_client_executes_nothing() {
    needs_docker!();
    let casd = Casd::shared().unwrap();
    let first = farm_on(&grpc(&casd), CHROOT);
    let report = build(&first, &PSYCOPG2);
    let wheel = report.wheel("psycopg2", "3.11").unwrap();
    let docker = main_job().report.wheel("psycopg2", "3.11").unwrap();
    assert_eq!(wheel.filename, docker.filename);
    assert_eq!(wheel.sha256, docker.sha256);
    assert!(wheel.proof.as_ref().unwrap().failed.is_empty());

    // Another machine: nothing on its disk. Environment and inputs are the same, so is each action's name.
    let second = farm_on(&grpc(&casd), CHROOT);
    let report = build(&second, &PSYCOPG2);
    let again = report.wheel("psycopg2", "3.11").unwrap();
    assert_eq!(again.sha256, wheel.sha256);
    assert_eq!((report.containers, report.hits), (0, Some(2)));

    // The own store answers before the cluster is asked for anything.
    let report = build(&first, &PSYCOPG2);
    assert_eq!((report.containers, report.hits), (0, Some(0)));
}

#[test]
fn what_is_built_twice_is_run_twice() {
    needs_docker!();
    let sdist = Sdist::with_backend("wfrandom", "1.0", &[], RANDOM);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let casd = Casd::shared().unwrap();
    let farm = only(farm_on(&grpc(&casd), CHROOT), &index);
    // The cluster has the result of the first one, and is not to answer with it.
    let run = farm
        .build(["wfrandom", "--image", "debian-12", "--check-reproducible"])
        .unwrap();
    failed(&run, 1, &["not reproducible"], &["SOURCE_DATE_EPOCH"]);
}

#[test]
fn who_has_no_engine_builds_in_what_others_have_sent() {
    needs_docker!();
    let casd = Casd::shared().unwrap();
    let sender = farm_on(&grpc(&casd), CHROOT);
    build(&sender, &PSYCOPG2);
    let farm = Farm::with_store(sender.store()).unwrap();
    let farm = configured(farm, &grpc(&casd), CHROOT).with("DOCKER_HOST", NOWHERE);
    let report = build(&farm, &["psycopg2==2.9.10", "--python", "3.11"]);
    let wheel = report.wheel("psycopg2", "3.11").unwrap();
    assert_eq!(wheel.origin, "built");
    assert_eq!(report.containers, 2);

    // What was never made cannot be had, and the error says what to do.
    let run = farm
        .build(["lxml", "--from-source", "lxml", "--python", "3.11"])
        .unwrap();
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    let failure = &run.report().unwrap().failures[0];
    assert!(failure.message.contains("never made"), "{failure:?}");
    let hint = failure.hint.as_ref().unwrap();
    assert!(hint.contains("--executor reapi"), "{hint}");
}

const UJSON: [&str; 6] = [
    "ujson",
    "--from-source",
    "ujson",
    "--image",
    "debian-13",
    "--no-build-tag",
];

/// Builds on `casd` with `settings` what Docker builds.
fn makes_the_same_bytes(casd: &Casd, settings: &[&str]) {
    let docker = Farm::new().unwrap();
    let expected = build(&docker, &UJSON);
    let expected = expected.wheel("ujson", "3.13").unwrap();
    for settings in settings {
        let farm = farm_on(&grpc(casd), settings);
        let report = build(&farm, &UJSON);
        let wheel = report.wheel("ujson", "3.13").unwrap();
        assert_eq!(wheel.sha256, expected.sha256, "{settings}");
        // Each names the image another way, so it is another action.
        assert!(report.containers > 0, "{settings}");
    }
}

#[test]
fn a_root_among_the_inputs_makes_the_same_bytes() {
    needs_docker!();
    let casd = Casd::shared().unwrap();
    let merged = format!("image-mode = 'input-root'\n{USER}");
    makes_the_same_bytes(&casd, &[&merged]);
}

#[test]
fn an_image_of_a_registry_and_a_pool_make_the_same_bytes() {
    needs_docker!();
    // Takes minutes: images are pushed, pulled and unpacked.
    if variable("WHEELFARM_TEST_CLUSTER").is_none() {
        return;
    }
    // The registry has one name for who pushes and who pulls: that of this machine.
    let casd = Casd::with(&CasdSettings {
        host_network: true,
        ..CasdSettings::default()
    })
    .unwrap();
    let directory = scratch_directory().unwrap().join("remote-registry");
    let registry = Registry::start(&directory, Access::Open).unwrap();
    let by_name = format!(
        "image-mode = 'container-image'\nregistry = '{}/farm'\n{USER}",
        registry.host().replace("localhost", "127.0.0.1")
    );
    makes_the_same_bytes(&casd, &[&by_name]);
    drop(casd);

    // Workers in the builder image itself, with a program from elsewhere.
    let image = "wheelfarm-test/pool:latest";
    build_image(
        image,
        "FROM wheelfarm/debian-13:x86_64\n\
         COPY --from=wheelfarm/buildbox:latest / /buildbox\n\
         RUN cp /buildbox/usr/local/bin/node /buildbox/usr/local/bin/sandbox /usr/local/bin/ \\\n\
         && mkdir -p /var/lib/casd \\\n\
         && for name in buildbox-casd buildbox-run-hosttools; do \\\n\
         printf '#!/bin/sh\\nexec /buildbox/lib64/ld-linux-x86-64.so.2 --library-path /buildbox/lib/x86_64-linux-gnu:/buildbox/usr/lib/x86_64-linux-gnu /buildbox/usr/bin/%s \"$@\"\\n' $name >/usr/bin/$name && chmod 755 /usr/bin/$name; done\n\
         ENTRYPOINT [\"node\"]\n",
    );
    let casd = Casd::with(&CasdSettings {
        runner: "hosttools",
        image,
        ..CasdSettings::default()
    })
    .unwrap();
    makes_the_same_bytes(&casd, &["image-mode = 'pool'"]);
}

/// Makes an image of what a Dockerfile says.
fn build_image(tag: &str, dockerfile: &str) {
    let directory = tempfile::tempdir().unwrap();
    fs_err::write(directory.path().join("Dockerfile"), dockerfile).unwrap();
    let mut docker = std::process::Command::new("docker");
    docker
        .env("DOCKER_BUILDKIT", "0")
        .args(["build", "--quiet", "--tag", tag])
        .arg(directory.path());
    wheelfarm_tests::process::run(&mut docker).unwrap();
}

#[test]
fn images_are_sent_once() {
    needs_docker!();
    let casd = Casd::start().unwrap();
    let farm = farm_on(&grpc(&casd), CHROOT);
    let push = || {
        let run = farm.run(["images", "push", "debian-13"]).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout
    };
    let first = push();
    assert!(first.starts_with("debian-13 runtime "), "{first}");
    assert!(!first.contains("(0 files"), "{first}");
    assert!(push().contains("(0 files and directories sent)"));
    // What storage has lost is sent again, and nothing else.
    let lost = casd.storage().blobs().unwrap().swap_remove(0);
    casd.storage().remove(&lost).unwrap();
    assert!(push().contains("(1 files and directories sent)"));
}

#[test]
fn the_doctor_looks_at_the_cluster() {
    needs_docker!();
    let casd = Casd::shared().unwrap();
    let farm = farm_on(&grpc(&casd), CHROOT);
    let look = || -> (Run, serde_json::Value) {
        let run = farm.run(["doctor", "--format", "json"]).unwrap();
        let report = serde_json::from_str(&run.stdout).unwrap();
        (run, report)
    };
    let state = |report: &serde_json::Value, id: &str| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["id"] == id);
        check.unwrap()["state"].as_str().unwrap().to_owned()
    };
    let (run, report) = look();
    assert_eq!(run.code, Some(0), "{report:#}");
    assert_eq!(report["executor"], "reapi");
    assert_eq!(state(&report, "storage"), "ok");
    assert_eq!(state(&report, "action"), "skipped");
    let sent = farm.run(["images", "push", "debian-13"]).unwrap();
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    let (_, report) = look();
    assert_eq!(state(&report, "action"), "ok", "{report:#}");
}

#[test]
fn a_cluster_that_is_not_there_is_named_at_once() {
    needs_docker!();
    let farm = farm_on("grpc://127.0.0.1:1", "patience = '1s'");
    let run = farm.build(PSYCOPG2).unwrap();
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(run.stderr.contains("grpc://127.0.0.1:1"), "{}", run.stderr);
    let doctor = farm.run(["doctor"]).unwrap();
    assert_eq!(doctor.code, Some(4), "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("failed   cluster"),
        "{}",
        doctor.stdout
    );
}

#[test]
fn what_a_cluster_cannot_do_is_said_before_anything_begins() {
    let nowhere = farm_on("grpc://127.0.0.1:1", "");
    for option in ["--keep-failed", "--compiler-cache"] {
        let run = nowhere.run(["build", "x", option]).unwrap();
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(option), "{}", run.stderr);
    }
    let farm = Farm::new().unwrap().with("WHEELFARM_EXECUTOR", "reapi");
    let run = farm.run(["build", "x"]).unwrap();
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("--endpoint"), "{}", run.stderr);
}

#[test]
fn a_build_that_fails_on_the_cluster_fails_as_it_does_in_docker() {
    needs_docker!();
    let casd = Casd::shared().unwrap();
    let backend = "def build_wheel(*args, **kwargs):\n    print('the reason', file=sys.stderr)\n    sys.exit(3)\n";
    let sdist = Sdist::with_backend("broken", "1.0", &[], backend);
    let path = scratch_directory().unwrap().join(sdist.filename());
    fs_err::write(&path, sdist.bytes().unwrap()).unwrap();
    let sdist = path.display().to_string();
    let farm = farm_on(&grpc(&casd), CHROOT);
    for _ in 0..2 {
        // Not cached as a result: it is run again.
        let run = farm
            .build([&sdist, "--image", "debian-13", "--retry-failed"])
            .unwrap();
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        let report = run.report().unwrap();
        assert!(
            report.failures[0].message.contains("exit code"),
            "{:?}",
            report.failures
        );
        assert!(
            report.failures[0]
                .tail
                .iter()
                .any(|line| line.contains("the reason"))
        );
        assert_eq!((report.containers, report.hits), (1, Some(0)));
    }
}
