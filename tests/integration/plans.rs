//! `wheelfarm plan` says what `wheelfarm build` will do, and starts nothing.

use serde_json::Value;
use wheelfarm_tests::docker::{Engine, Moment};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{farm_of, needs_docker};

const BACKEND: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {NAME + \".py\": \"\"})\n";

/// The jobs of a plan: project, what it does and whether its key is known.
fn plan(farm: &Farm, more: &[&str]) -> Vec<(String, String, bool)> {
    let plan: Value =
        serde_json::from_str(&text(farm, &[&["--format", "json"], more].concat())).unwrap();
    let jobs = plan["cells"][0]["jobs"].as_array().unwrap();
    jobs.iter()
        .map(|job| {
            let word = |name: &str| job[name].as_str().unwrap().to_owned();
            (word("project"), word("does"), !job["key"].is_null())
        })
        .collect()
}

fn text(farm: &Farm, more: &[&str]) -> String {
    let base = ["plan", "late", "plain", "--image", "debian-12"];
    let uv = wheelfarm_tests::farm::uv_wheel()
        .unwrap()
        .display()
        .to_string();
    let arguments = [&base[..], &["--uv-wheel", &uv], more].concat();
    let run = farm.run(arguments).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout
}

#[test]
fn a_plan_says_what_a_build_will_do_and_starts_nothing() {
    needs_docker!();
    let late = Sdist::with_backend("late", "1.0", &["early"], BACKEND);
    let index = Index::start()
        .unwrap()
        .with(&late)
        .unwrap()
        .with(&Sdist::with_backend("early", "1.0", &[], BACKEND))
        .unwrap()
        .with_file(
            "plain",
            "plain-1.0-py3-none-any.whl",
            pure_wheel("plain", "1.0", "").unwrap(),
        );
    let farm = farm_of(&index);
    let of = |project: &str, does: &str, key| (project.to_owned(), does.to_owned(), key);
    let engine = Engine::connect().unwrap();
    let begin = Moment::now().unwrap();

    // Nothing was ever made with this store.
    assert_eq!(
        plan(&farm, &[]),
        [of("late", "build", false), of("plain", "fetch", false)]
    );
    let first = text(&farm, &[]);
    assert!(first.contains("environment is to be made"), "{first}");
    assert!(first.contains("1 to build, in unknown time"), "{first}");
    let made = engine
        .farm_containers_made_since(begin, &farm.cache())
        .unwrap();
    assert_eq!(made, [""; 0], "a plan started containers");

    // What comes before the build is said as long as it is not done: the environment is, `early` is not.
    let build = |names: &[&str]| {
        let arguments = [names, &["--image", "debian-12", "--no-prove"]].concat();
        farm.build(arguments).unwrap().success().unwrap()
    };
    build(&["plain", "early"]);
    let second = text(&farm, &[]);
    assert!(second.contains("built first: early 1.0"), "{second}");

    // And after it was built, nothing is to be done.
    let report = build(&["late", "plain"]);
    assert_eq!(report.wheel("late", "3.11").unwrap().origin, "built");
    assert_eq!(
        plan(&farm, &[]),
        [of("late", "cached", false), of("plain", "index", false)]
    );
    let matrix: Value = serde_json::from_str(&text(&farm, &["--format", "github-matrix"])).unwrap();
    assert_eq!(matrix["include"].as_array().unwrap().len(), 0);

    // Other settings are another build: the plan says which, and how long the last one took.
    let farm = farm
        .configure("[package.late]\nenv = { LATE = \"2\" }\n")
        .unwrap();
    assert_eq!(
        plan(&farm, &[]),
        [of("late", "build", true), of("plain", "index", false)]
    );
    let explained = text(&farm, &["--explain"]);
    assert!(explained.contains("+ env.LATE: \"2\""), "{explained}");
    assert!(!explained.contains("unknown time"), "{explained}");
    let matrix: Value = serde_json::from_str(&text(
        &farm,
        &["--format", "github-matrix", "--per-package"],
    ))
    .unwrap();
    assert_eq!(matrix["include"][0]["requirement"], "late==1.0");
    assert_eq!(matrix["include"][0]["python"], "3.11");
}
