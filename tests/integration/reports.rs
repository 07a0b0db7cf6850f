//! The forms of a report: what CI systems and programs are told, and logs found afterwards.

use std::process::Command;

use serde_json::Value;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::process;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{failed, needs_docker, only};

const GOOD: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    print("this one works", flush=True)
    return write_wheel(directory, {"wfcalm.py": ""})
"#;

/// It prints what a runner of GitHub Actions takes for a command, and what XML has no place for.
const NOISY: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    print("::error::the build's own words", flush=True)
    print("<&]]>\x1b[31m", flush=True)
    raise SystemExit(7)
"#;

#[test]
fn a_failure_is_told_in_every_form_and_its_log_is_found() {
    needs_docker!();
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend("wfcalm", "1.0", &[], GOOD))
        .unwrap()
        .with(&Sdist::with_backend("wfnoisy", "1.0", &[], NOISY))
        .unwrap();
    let farm = only(Farm::new().unwrap(), &index)
        .with("GITHUB_ACTIONS", "true")
        .with("GITHUB_STEP_SUMMARY", "summary.md");
    let run = farm
        .build([
            "wfcalm",
            "wfnoisy",
            "--image",
            "debian-12",
            "--junit",
            "junit.xml",
            "--events",
            "events.jsonl",
        ])
        .unwrap();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    let report = run.report().unwrap();
    let [failure] = report.failures.as_slice() else {
        panic!("{report:?}");
    };
    let read = |name: &str| fs_err::read_to_string(farm.work().join(name)).unwrap();

    // Only our own annotation is one: the build's is printed where commands are stopped.
    let mut stopped = None;
    let mut commands = Vec::new();
    for line in run.stderr.lines() {
        if let Some(token) = line.strip_prefix("::stop-commands::") {
            stopped = Some(format!("::{token}::"));
        } else if stopped.as_deref() == Some(line) {
            stopped = None;
        } else if stopped.is_none() && line.starts_with("::") {
            commands.push(line);
        }
    }
    let [group, end, annotation] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    assert_eq!(*group, format!("::group::{}", failure.job));
    assert_eq!(*end, "::endgroup::");
    assert!(
        annotation.starts_with(&format!("::error title={}::", failure.job)),
        "{annotation}"
    );
    assert!(run.stderr.contains("::error::the build's own words"));
    let summary = read("summary.md");
    assert!(
        summary.contains("| built | wfcalm 1.0 | py3-none-any |"),
        "{summary}"
    );
    assert!(summary.contains("| failed | wfnoisy 1.0 |"), "{summary}");

    // Python's own parser says whether it is XML.
    let count = "import sys, xml.etree.ElementTree as e\nfor c in e.parse(sys.argv[1]).getroot().iter('testcase'): print(c.get('name'), [x.tag for x in c])";
    let cases = process::run(
        Command::new("python3")
            .args(["-c", count])
            .arg(farm.work().join("junit.xml")),
    );
    assert_eq!(
        cases.unwrap(),
        "wfcalm 1.0 ['system-out']\nwfnoisy 1.0 ['failure', 'system-out']\n"
    );

    let events: Vec<Value> = read("events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = events.last().unwrap();
    let printed: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(last.get("report"), Some(&printed));
    let of = |event: &str| {
        let events = events.iter();
        events
            .filter(|line| line.get("event").and_then(Value::as_str) == Some(event))
            .count()
    };
    assert_eq!((of("begin"), of("planned"), of("ended")), (1, 2, 2));

    // With `-` the events are all there is on stdout.
    let mut command = farm.command(["build", "wfcalm", "--image", "debian-12", "--events", "-"]);
    let command = command.as_mut().unwrap();
    let run = farm.finish(process::start(command).unwrap()).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for line in run.stdout.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    logs_are_found_by_project(&farm);
}

/// In the store of a farm that has built both.
fn logs_are_found_by_project(farm: &Farm) {
    for (arguments, says) in [
        (&["logs", "wfcalm"][..], "this one works"),
        (
            &["logs", "WfNoisy", "--failed", "--cell", "cp311"],
            "::error::the build's own words",
        ),
    ] {
        let run = farm.run(arguments).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains(says), "{}", run.stdout);
        assert!(!run.stdout.contains('\u{1b}'), "{}", run.stdout);
    }
    let run = farm.run(["logs", "--format", "json"]).unwrap();
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    let builds = list.get("builds").and_then(Value::as_array).unwrap();
    let outcome = |project: &str| {
        let build = builds
            .iter()
            .find(|build| build.get("project").and_then(Value::as_str) == Some(project));
        build.and_then(|build| build.get("outcome")?.get("is")?.as_str())
    };
    assert_eq!(builds.len(), 2, "{list}");
    assert_eq!(outcome("wfcalm"), Some("built"));
    assert_eq!(outcome("wfnoisy"), Some("failed"));
    let run = farm.run(["logs", "wfcalm", "--failed"]).unwrap();
    failed(
        &run,
        2,
        &["no log of a failed build of wfcalm"],
        &["wheelfarm logs"],
    );
}
