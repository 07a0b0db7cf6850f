//! A second run finds everything done.

use wheelfarm_tests::docker::{Engine, Moment};
use wheelfarm_tests::farm::Farm;

use crate::support::{COLUMNS, MAIN_JOB, files, main_job, needs_docker};

#[test]
fn a_second_run_starts_no_container_and_downloads_nothing() {
    needs_docker!();
    let first = main_job();
    let engine = Engine::connect().unwrap();
    // As on another machine that has the same store: nothing is in its cache.
    let farm = Farm::sharing().unwrap();
    let begin = Moment::now().unwrap();
    let report = farm.build(MAIN_JOB).unwrap().success().unwrap();
    assert_eq!(report.containers, 0);
    assert_eq!(report.downloaded, 0);
    let made = engine
        .farm_containers_made_since(begin, &farm.cache())
        .unwrap();
    assert_eq!(made, [""; 0], "the engine made containers all the same");
    for (python, ..) in COLUMNS {
        let (one, two) = (
            first.report.wheel("psycopg2", python),
            report.wheel("psycopg2", python),
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(two.origin, "cached");
        assert_eq!((&one.filename, &one.sha256), (&two.filename, &two.sha256));
        assert_eq!(one.vendored, two.vendored);
        assert_eq!(
            one.proof.as_ref().unwrap().imported,
            two.proof.as_ref().unwrap().imported
        );
    }
    assert_eq!(files(&first.out), files(&farm.out()));
    for name in files(&first.out) {
        let (one, two) = (first.out.join(&name), farm.out().join(&name));
        assert_eq!(
            fs_err::read(one).unwrap(),
            fs_err::read(two).unwrap(),
            "{name}"
        );
    }

    // And once more, with the cache of the second run: at once, and no file is written again.
    let written = |name: &String| {
        fs_err::metadata(farm.out().join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before: Vec<_> = files(&farm.out()).iter().map(written).collect();
    let report = farm.build(MAIN_JOB).unwrap().success().unwrap();
    assert!(report.seconds < 1.0, "{} s", report.seconds);
    let after: Vec<_> = files(&farm.out()).iter().map(written).collect();
    assert_eq!(before, after);
}

#[test]
fn the_engines_events_do_show_containers() {
    needs_docker!();
    // Without this the test above could not fail.
    let engine = Engine::connect().unwrap();
    let farm = Farm::sharing().unwrap();
    main_job();
    let begin = Moment::now().unwrap();
    // The build tag is part of the name alone: what is new is the wheel, and so its proof.
    let arguments = ["psycopg2", "--python", "3.11", "--no-build-tag"];
    let report = farm.build(arguments).unwrap().success().unwrap();
    let made = engine
        .farm_containers_made_since(begin, &farm.cache())
        .unwrap();
    assert!(
        made.iter().any(|action| action.starts_with("prove ")),
        "{made:?}"
    );
    assert!(report.containers > 0);
    let name = &report.wheels.first().unwrap().filename;
    assert_eq!(name.split('-').count(), 5, "{name} has a build tag");
}
