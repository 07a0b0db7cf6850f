//! Build requirements that have no wheel are built first.

use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;
use wheelfarm_tests::wheel;

use crate::support::{failed, farm_of, needs_docker, wheels};

/// A back end that writes one module, made by the Python code `text`.
fn backend(module: &str, text: &str) -> String {
    format!(
        "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {{\"{module}.py\": {text}}})\n"
    )
}

#[test]
fn build_requirements_without_wheels_are_jobs_of_their_own() {
    needs_docker!();
    let asks =
        "def get_requires_for_build_wheel(config_settings=None):\n    return [\"lower\"]\n\n";
    let upper = format!(
        "{asks}{}",
        backend("upper", "\"TEXT = %r\" % __import__(\"lower\").TEXT")
    );
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend(
            "first",
            "1.0",
            &["upper"],
            &backend("first", "__import__(\"upper\").TEXT"),
        ))
        .unwrap()
        .with(&Sdist::with_backend(
            "second",
            "1.0",
            &["upper>=2"],
            &backend("second", "__import__(\"upper\").TEXT"),
        ))
        .unwrap()
        .with(&Sdist::with_backend("upper", "2.0", &[], &upper))
        .unwrap()
        .with(&Sdist::with_backend(
            "lower",
            "3.0",
            &[],
            &backend("lower", "\"TEXT = 'BELOW = 1'\""),
        ))
        .unwrap();
    let farm = farm_of(&index);
    let arguments = [
        "first",
        "second",
        "--image",
        "debian-12",
        "--from-source",
        "all",
    ];
    let report = farm.build(arguments).unwrap().success().unwrap();

    // What was built for others is not handed out.
    assert_eq!(wheels(&farm.out()).len(), 2);
    let mut keys = Vec::new();
    for wanted in ["first", "second"] {
        let built = report.wheel(wanted, "3.11").unwrap();
        let module = wheel::read(&built.path, &format!("{wanted}.py")).unwrap();
        assert_eq!(module, b"BELOW = 1");
        let [upper] = built.build_requires.as_slice() else {
            panic!("{built:?}");
        };
        assert_eq!(
            (upper.project.as_str(), upper.version.as_str()),
            ("upper", "2.0")
        );
        assert_eq!(upper.filename, "upper-2.0-py3-none-any.whl", "a build tag");
        let [lower] = upper.build_requires.as_slice() else {
            panic!("{upper:?}");
        };
        assert_eq!(lower.project, "lower");
        keys.push(upper.sha256.clone());
    }
    assert_eq!(keys.first(), keys.last());
    // Each was built once, and said so: `upper` is begun twice, since its back end asks for more.
    let builds = |job: &str| {
        let of_job = |step: &&wheelfarm_tests::report::Step| {
            step.job.starts_with(job) && step.stage == "build"
        };
        report.steps.iter().filter(of_job).count()
    };
    assert_eq!(
        ["first ", "second ", "upper ", "lower "].map(builds),
        [1, 1, 2, 1]
    );

    let again = farm.build(arguments).unwrap().success().unwrap();
    assert_eq!((again.containers, again.downloaded), (0, 0));
    let wheel = again.wheel("first", "3.11").unwrap();
    assert_eq!(wheel.build_requires.first().unwrap().origin, "cached");
}

#[test]
fn a_cycle_of_build_requirements_is_named() {
    needs_docker!();
    let sdist = |name: &str, requires: &str| {
        Sdist::with_backend(name, "1.0", &[requires], &backend(name, "\"\""))
    };
    let index = Index::start()
        .unwrap()
        .with(&sdist("outside", "hen"))
        .unwrap()
        .with(&sdist("hen", "egg"))
        .unwrap()
        .with(&sdist("egg", "hen"))
        .unwrap();
    let farm = farm_of(&index);
    let run = farm.build(["outside", "--image", "debian-12"]).unwrap();
    let failures = failed(
        &run,
        3,
        &["outside 1.0", "hen 1.0 -> egg 1.0 -> hen 1.0"],
        &["must come as a wheel"],
    );
    assert_eq!(failures.len(), 1, "{failures:?}");
    // The environment's, of which what is dynamic depends; nothing was built.
    assert!(run.report().unwrap().containers <= 1);
}

#[test]
fn a_build_requirement_that_fails_is_named_with_what_wants_it() {
    needs_docker!();
    let broken = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    raise SystemExit(\"no luck today\")\n";
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend(
            "wanted",
            "1.0",
            &["unlucky"],
            &backend("wanted", "\"\""),
        ))
        .unwrap()
        .with(&Sdist::with_backend("unlucky", "1.0", &[], broken))
        .unwrap();
    let run = farm_of(&index)
        .build(["wanted", "--image", "debian-12"])
        .unwrap();
    let failures = failed(&run, 3, &["wanted 1.0", "unlucky 1.0"], &[]);
    let failure = failures.first().unwrap();
    assert!(
        failure
            .tail
            .iter()
            .any(|line| line.contains("no luck today")),
        "{failure:?}"
    );
    assert!(failure.log.is_some());
}
