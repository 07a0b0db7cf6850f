//! A run that is killed or interrupted leaves nothing that the next one minds.

use std::time::{Duration, Instant};

use wheelfarm_tests::docker::{Engine, FarmContainer};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::process::{Running, wait_for};
use wheelfarm_tests::sdist::Sdist;

use crate::support::{farm_of, files, has_extension, main_job, needs_docker, store_is_whole};

/// Waits until a container of the farm builds something.
fn wait_for_build(engine: &Engine, farm: &Farm, running: &mut Running) -> FarmContainer {
    wait_for("a build container", Duration::from_secs(300), || {
        assert!(
            !running.has_ended()?,
            "the build ended before it could be disturbed"
        );
        let containers = engine.farm_containers(&farm.cache())?;
        let building = |container: &FarmContainer| {
            container.action.starts_with("build ") && container.state == "running"
        };
        Ok(containers.into_iter().find(building))
    })
    .unwrap()
}

#[test]
fn after_kill_nine_the_next_run_cleans_up_and_finishes() {
    needs_docker!();
    let first = main_job();
    let engine = Engine::connect().unwrap();
    let farm = Farm::new().unwrap();
    let arguments = ["psycopg2", "--python", "3.11", "--no-prove"];
    let mut running = farm.start_build(arguments).unwrap();
    let container = wait_for_build(&engine, &farm, &mut running);
    running.signal("KILL").unwrap();
    let killed = farm.finish(running).unwrap();
    assert_eq!(killed.code, None, "{}", killed.stderr);
    assert!(
        engine
            .farm_containers(&farm.cache())
            .unwrap()
            .contains(&container),
        "nothing was left to clean up"
    );
    assert_eq!(files(&farm.out()), [""; 0]);
    store_is_whole(&farm);

    let report = farm.build(arguments).unwrap().success().unwrap();
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);
    assert_eq!(engine.farm_volumes(&farm.cache()).unwrap(), [""; 0]);
    store_is_whole(&farm);
    let (one, two) = (
        report.wheel("psycopg2", "3.11"),
        first.report.wheel("psycopg2", "3.11"),
    );
    assert_eq!(one.unwrap().sha256, two.unwrap().sha256);
}

#[test]
fn ctrl_c_removes_everything_and_ends() {
    needs_docker!();
    let endless = Sdist::with_backend(
        "endless",
        "1.0",
        &[],
        "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    time.sleep(10**6)\n",
    );
    let index = Index::start().unwrap().with(&endless).unwrap();
    let engine = Engine::connect().unwrap();
    let farm = farm_of(&index);
    let mut running = farm
        .start_build(["endless", "--image", "debian-12"])
        .unwrap();
    wait_for_build(&engine, &farm, &mut running);
    let interrupted = Instant::now();
    running.signal("INT").unwrap();
    let output = running.finish(Duration::from_secs(60)).unwrap();
    // Less than 2 s on a quiet machine; nothing but the engine's own work on a busy one.
    let took = interrupted.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(output.status.code(), Some(130), "{}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);
    assert_eq!(engine.farm_volumes(&farm.cache()).unwrap(), [""; 0]);
    let runs = files(&farm.cache().join("runs"));
    assert!(
        !runs.iter().any(|name| has_extension(name, "lock")),
        "{runs:?}"
    );
    store_is_whole(&farm);
}
