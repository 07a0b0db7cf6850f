//! A daemon of the test's own that goes away in the middle of a run, and one that has nothing.

use std::time::Duration;

use wheelfarm_tests::daemon::Daemon;
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{
    COLUMNS, MAIN_JOB, farm_of, files, has_extension, main_job, needs_docker, store_is_whole,
};

const BUILDER: &str = "wheelfarm/debian-12:x86_64";
const SLOW: &str = "
def build_wheel(directory, config_settings=None, metadata_directory=None):
    time.sleep(5)
    return write_wheel(directory, {NAME + '.py': ''})
";

/// Starts a build of `projects` and calls `disturb` when the first of them is under way.
fn disturbed(
    farm: &Farm,
    daemon: &mut Daemon,
    projects: &[&str],
    disturb: impl FnOnce(&mut Daemon),
) -> Run {
    let engine = daemon.engine();
    let mut running = farm.start_build(arguments(projects)).unwrap();
    wait_for("a build container", Duration::from_secs(300), || {
        assert!(!running.has_ended()?, "it ended before it was disturbed");
        let containers = engine.farm_containers(&farm.cache())?;
        let building = containers.iter().any(|container| {
            container.action.starts_with("build ") && container.state == "running"
        });
        Ok(building.then_some(()))
    })
    .unwrap();
    disturb(daemon);
    farm.finish(running).unwrap()
}

fn arguments<'a>(projects: &[&'a str]) -> Vec<&'a str> {
    let options = ["--image", "debian-12", "--no-prove", "--jobs", "2"];
    [projects, &options].concat()
}

/// Checks a run whose engine went away: it recovered, or says what happened and whose fault it is.
#[track_caller]
fn recovered_or_clear(run: &Run) {
    let said = format!("{}\n{}", run.stdout, run.stderr);
    assert!(!run.stderr.contains("panicked"), "{said}");
    if run.code == Some(0) {
        return;
    }
    assert_eq!(run.code, Some(4), "{said}");
    assert!(run.stderr.contains("error: "), "{said}");
    for failure in run
        .report()
        .map(|report| report.failures)
        .unwrap_or_default()
    {
        assert_eq!(failure.kind, "machine", "{said}");
        assert!(failure.message.contains("container engine"), "{said}");
    }
}

#[track_caller]
fn finishes(farm: &Farm, daemon: &Daemon, projects: &[&str]) {
    let run = farm.build(arguments(projects)).unwrap();
    let report = run.success().unwrap();
    assert_eq!(report.wheels.len(), projects.len(), "{}", run.stderr);
    let engine = daemon.engine();
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);
    assert_eq!(engine.farm_volumes(&farm.cache()).unwrap(), [""; 0]);
    let runs = files(&farm.cache().join("runs"));
    let locks = runs.iter().filter(|name| has_extension(name, "lock"));
    assert_eq!(locks.count(), 0, "{runs:?}");
    store_is_whole(farm);
}

#[test]
fn a_daemon_that_goes_away_in_the_middle_of_a_run() {
    needs_docker!();
    let shared = Engine::connect().unwrap();
    let mut daemon = Daemon::start(&shared).unwrap();
    shared.copy_image(BUILDER, &daemon.engine()).unwrap();
    let projects = [
        "stopped1",
        "stopped2",
        "restarted1",
        "restarted2",
        "killed1",
        "killed2",
    ];
    let [stopped, restarted, killed] = [&projects[..2], &projects[2..4], &projects[4..]];
    let index = projects
        .iter()
        .fold(Index::start().unwrap(), |index, project| {
            index
                .with(&Sdist::with_backend(project, "1.0", &[], SLOW))
                .unwrap()
        });
    let farm = farm_of(&index)
        .with("WHEELFARM_EXECUTOR", "docker")
        .with("DOCKER_HOST", &daemon.host());

    let run = disturbed(&farm, &mut daemon, stopped, |daemon| daemon.stop().unwrap());
    recovered_or_clear(&run);
    assert_eq!(
        run.code,
        Some(4),
        "nobody could have built it: {}",
        run.stdout
    );
    daemon.restart().unwrap();
    finishes(&farm, &daemon, stopped);

    let run = disturbed(&farm, &mut daemon, restarted, |daemon| {
        daemon.stop().unwrap();
        daemon.restart().unwrap();
    });
    recovered_or_clear(&run);
    finishes(&farm, &daemon, restarted);

    let run = disturbed(&farm, &mut daemon, killed, |daemon| {
        daemon.kill().unwrap();
        daemon.restart().unwrap();
    });
    recovered_or_clear(&run);
    finishes(&farm, &daemon, killed);
}

#[test]
fn an_empty_daemon_and_a_full_store() {
    needs_docker!();
    let first = main_job();
    let daemon = Daemon::start(&Engine::connect().unwrap()).unwrap();
    // Another machine: it has the store and nothing else, not one image.
    let farm = Farm::sharing()
        .unwrap()
        .with("WHEELFARM_EXECUTOR", "docker")
        .with("DOCKER_HOST", &daemon.host());
    let report = farm.build(MAIN_JOB).unwrap().success().unwrap();
    assert_eq!((report.containers, report.downloaded), (0, 0));
    for (python, ..) in COLUMNS {
        let (one, two) = (
            first.report.wheel("psycopg2", python).unwrap(),
            report.wheel("psycopg2", python).unwrap(),
        );
        assert_eq!((&one.filename, &one.sha256), (&two.filename, &two.sha256));
        assert_eq!(two.origin, "cached");
        assert!(two.proof.is_some());
    }
    assert_eq!(files(&first.out), files(&farm.out()));
    assert_eq!(daemon.engine().everything().unwrap(), [""; 0]);
}
