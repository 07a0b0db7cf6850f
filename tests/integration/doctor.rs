//! `wheelfarm doctor`: what works here, and what is said of what does not.

use serde_json::Value;
use wheelfarm_tests::farm::{Farm, Run};

use crate::support::needs_docker;

/// Every check, in the order in which they are made.
const CHECKS: [&str; 10] = [
    "configuration",
    "cache",
    "store",
    "uv",
    "index",
    "certificates",
    "proxies",
    "engine",
    "images",
    "container",
];
/// Where nobody listens.
const NOWHERE: &str = "unix:///nonexistent/docker.sock";

fn doctor(farm: &Farm) -> (Run, Value) {
    let run = farm.run(["doctor", "--format", "json"]).unwrap();
    let report = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", run.stdout, run.stderr));
    (run, report)
}

fn check<'a>(report: &'a Value, id: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap()
}

/// A farm whose index does not answer, and that must not be asked for anything else.
fn lost(farm: Farm) -> Farm {
    farm.with("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
        .with("WHEELFARM_EXECUTOR", "docker")
        .with("DOCKER_HOST", NOWHERE)
}

#[test]
fn here_everything_works() {
    needs_docker!();
    let farm = Farm::new().unwrap();
    let (run, report) = doctor(&farm);
    assert_eq!(run.code, Some(0), "{report:#}");
    assert_eq!(report["version"], 1);
    assert_eq!(report["executor"], "docker");
    assert_eq!(report["ok"], true);
    let checks = report["checks"].as_array().unwrap();
    let ids: Vec<_> = checks.iter().map(|check| &check["id"]).collect();
    assert_eq!(ids, CHECKS);
    for id in ["cache", "store", "engine", "container"] {
        assert_eq!(check(&report, id)["state"], "ok", "{report:#}");
    }
    for check in checks {
        let members: Vec<_> = check.as_object().unwrap().keys().collect();
        assert_eq!(members, ["found", "hint", "id", "state"]);
        assert_ne!(check["state"], "failed", "{report:#}");
    }
    let container = check(&report, "container")["found"].as_str().unwrap();
    assert!(container.contains("no network"), "{container}");
    // The lock file of the run is gone with it.
    let runs: Vec<_> = fs_err::read_dir(farm.cache().join("runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(runs, ["identity"]);
}

#[test]
fn an_engine_that_is_not_there_ends_it_with_4_and_a_hint() {
    let farm = lost(Farm::new().unwrap());
    let (run, report) = doctor(&farm);
    assert_eq!(run.code, Some(4), "{report:#}");
    assert_eq!(report["ok"], false);
    let engine = check(&report, "engine");
    assert_eq!(engine["state"], "failed");
    let found = engine["found"].as_str().unwrap();
    assert!(found.contains(NOWHERE), "{found}");
    let hint = engine["hint"].as_str().unwrap();
    assert!(hint.contains("DOCKER_HOST"), "{hint}");
    for id in ["images", "container"] {
        assert_eq!(check(&report, id)["state"], "skipped");
    }
    assert_eq!(check(&report, "store")["state"], "ok");
    let index = check(&report, "index");
    assert_eq!(index["state"], "failed", "{index}");
    assert!(index["found"].as_str().unwrap().contains("127.0.0.1:1"));
}

#[test]
fn one_thing_that_is_broken_keeps_nothing_else_from_being_looked_at() {
    let farm = lost(Farm::new().unwrap())
        .with("WHEELFARM_STORE", "/dev/null/store")
        .with("SSL_CERT_FILE", "/nonexistent/certificates.pem")
        .with("https_proxy", "http://me:secret@127.0.0.1:1")
        .configure("[farm]\nexecutr = \"docker\"\n")
        .unwrap();
    let (run, report) = doctor(&farm);
    assert_eq!(run.code, Some(4), "{report:#}");
    for (id, state, word) in [
        ("configuration", "failed", "executr"),
        ("cache", "ok", "free"),
        ("store", "failed", "/dev/null/store"),
        ("uv", "skipped", "store"),
        ("certificates", "failed", "/nonexistent/certificates.pem"),
        ("proxies", "warning", "127.0.0.1:1"),
        ("engine", "failed", NOWHERE),
    ] {
        let check = check(&report, id);
        assert_eq!(check["state"], state, "{check}");
        let found = check["found"].as_str().unwrap();
        assert!(found.contains(word), "{check}");
        let hinted = check["hint"].is_string();
        assert_eq!(hinted, matches!(state, "failed" | "warning"), "{check}");
    }
    assert!(!run.stdout.contains("secret"), "{}", run.stdout);
}

#[test]
fn people_get_a_line_for_each_check_and_the_hint_below_it() {
    let farm = lost(Farm::new().unwrap());
    let run = farm.run(["doctor"]).unwrap();
    assert_eq!(run.code, Some(4), "{}", run.stdout);
    let lines: Vec<_> = run.stdout.lines().collect();
    for id in CHECKS {
        let of = |line: &&&str| line.split_whitespace().nth(1) == Some(id);
        assert_eq!(lines.iter().filter(of).count(), 1, "{id}: {}", run.stdout);
    }
    let engine = lines.iter().position(|line| line.contains(NOWHERE));
    let hint = lines[engine.unwrap() + 1].trim_start();
    assert!(hint.starts_with("hint: "), "{hint}");
    assert!(run.stderr.contains("failed"), "{}", run.stderr);
}

#[test]
fn an_executor_that_does_not_exist_is_a_mistake_of_the_caller() {
    let run = Farm::new()
        .unwrap()
        .run(["doctor", "--executor", "abacus"])
        .unwrap();
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("docker"), "{}", run.stderr);
}
