//! Source distributions that mean harm: each is contained and named, and what is honest is built all the same.
//!
//! One run builds them all, so that none can spoil another's build either; one on each engine. Their back ends are in
//! `tests/hostile`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};
use wheelfarm_tests::engines::Kind;
use wheelfarm_tests::environment::{repository, scratch_directory};
use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::report::{Report, ReportedFailure};
use wheelfarm_tests::sdist::Sdist;
use wheelfarm_tests::wheel;

use crate::support::{files, on_every_engine, only, store_is_whole, wheels};

on_every_engine! {
    nothing_is_left_over_and_the_honest_are_built,
    who_wants_the_network_has_none,
    who_takes_more_than_there_is_is_stopped_at_the_limit,
    who_spies_sees_its_own_inputs_and_nothing_of_the_host,
    who_makes_something_else_is_refused,
    binaries_that_need_a_newer_machine_are_refused,
    who_shouts_is_cut_short_and_does_not_reach_the_terminal,
}

/// The longest time of a build, in seconds: two of them take it whole.
const SECONDS: &str = "40";
/// Bytes of memory that a build may take.
const MEMORY: usize = 320 << 20;

/// One run of all of them.
struct Everything {
    run: Run,
    report: Report,
    failures: BTreeMap<String, ReportedFailure>,
    farm: Farm,
}

/// Built once on each, by the test that asks first.
fn everything(kind: Kind) -> &'static Everything {
    static ALL: [OnceLock<Everything>; Kind::ALL.len()] =
        [const { OnceLock::new() }; Kind::ALL.len()];
    ALL.get(kind as usize)
        .unwrap()
        .get_or_init(|| build_everything(kind))
}

fn build_everything(kind: Kind) -> Everything {
    let secret = scratch_directory().unwrap().join("host-secret");
    fs_err::write(&secret, "of the host").unwrap();
    let mut index = Index::start().unwrap();
    let known = format!(
        "INDEX_PORT = {}\nSECRET = \"{}\"\n",
        index.port(),
        secret.display()
    );
    let mut projects = Vec::new();
    let back_ends = repository().join("tests/hostile");
    for file in files(&back_ends) {
        let back_end = fs_err::read_to_string(back_ends.join(&file)).unwrap();
        let project = file.strip_suffix(".py").unwrap();
        let code = format!("{known}{back_end}");
        let mut sdist = Sdist::with_backend(&project.replace('-', "_"), "1.0", &[], &code);
        if project == "bomb" {
            sdist = sdist.file("zeros", &"\0".repeat(MEMORY));
        }
        index = index.with(&sdist).unwrap();
        projects.push(project.to_owned());
    }
    let recipes = projects
        .iter()
        .map(|project| format!("[package.{project}]\nmemory = {MEMORY}\n"));
    let recipes: Vec<_> = recipes.collect();
    let farm = only(kind.farm().unwrap(), &index)
        .with("WF_SECRET", "of the environment")
        .configure(&recipes.concat())
        .unwrap();
    let options = ["--image", "debian-12", "--timeout", SECONDS, "--jobs", "4"];
    projects.extend(options.map(str::to_owned));
    let run = farm.build(projects).unwrap();
    let report = run.report().unwrap();
    let failures = report.failures.iter().map(|failure| {
        let project = failure.job.split(' ').next().unwrap_or_default();
        (project.to_owned(), failure.clone())
    });
    Everything {
        failures: failures.collect(),
        report,
        run,
        farm,
    }
}

impl Everything {
    /// The failure of `project`: of this kind, saying all of `texts` in its message.
    #[track_caller]
    fn failed(&self, project: &str, kind: &str, texts: &[&str]) -> &ReportedFailure {
        let failure = self.failures.get(project);
        let failure =
            failure.unwrap_or_else(|| panic!("{project} did not fail: {}", self.run.stderr));
        assert_eq!(failure.kind, kind, "{failure:?}");
        let job = format!("{project} 1.0 cp311-");
        assert!(failure.job.starts_with(&job), "{failure:?}");
        let message = &failure.message;
        let named = message.contains(project) || message.contains(&project.replace('-', "_"));
        assert!(named, "{failure:?}");
        for text in texts {
            assert!(message.contains(text), "`{text}` is not said: {failure:?}");
        }
        let shown = self.run.stderr.contains(message);
        assert!(shown, "{failure:?}: {}", self.run.stderr);
        failure
    }
}

fn nothing_is_left_over_and_the_honest_are_built(kind: Kind) {
    let all = everything(kind);
    assert_eq!(all.run.code, Some(3), "{}", all.run.stderr);
    assert!(!all.run.stderr.contains("panicked"), "{}", all.run.stderr);
    let mut built: Vec<_> = all
        .report
        .wheels
        .iter()
        .map(|wheel| wheel.project.as_str())
        .collect();
    built.sort_unstable();
    assert_eq!(built, ["honest", "probe", "spies"], "{:#?}", all.failures);
    assert_eq!(wheels(&all.farm.out()).len(), 3);
    assert_eq!(kind.left(&all.farm).unwrap(), [""; 0]);
    store_is_whole(&all.farm);
}

/// Whether the end of the log says this.
#[track_caller]
fn log_has(failure: &ReportedFailure, text: &str) {
    assert!(
        failure.tail.iter().any(|line| line.contains(text)),
        "{failure:?}"
    );
}

fn who_wants_the_network_has_none(kind: Kind) {
    let failure = everything(kind).failed("wants-network", "package", &["exit code"]);
    let lines = |start: &str| {
        failure
            .tail
            .iter()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(
        (lines("not reached: "), lines("reached")),
        (2, 0),
        "{failure:?}"
    );
    log_has(failure, "by name: ");
    assert!(
        failure
            .hint
            .as_ref()
            .is_some_and(|hint| hint.contains("no network")),
        "{failure:?}"
    );
}

fn who_takes_more_than_there_is_is_stopped_at_the_limit(kind: Kind) {
    let all = everything(kind);
    all.failed("hangs", "package", &["time limit"]);
    log_has(all.failed("hangs", "package", &[]), "waiting for nothing");
    all.failed("eats", "package", &["memory limit of 320 MiB"]);
    for project in ["writes", "writes-elsewhere", "bomb"] {
        let failure = all.failed(project, "package", &["out of space", "240 MiB"]);
        let hint = format!("[package.{project}]");
        assert!(
            failure
                .hint
                .as_ref()
                .is_some_and(|said| said.contains(&hint)),
            "{failure:?}"
        );
    }
    // Which limit its children reach first is the kernel's choice.
    let forks = all.failed("forks", "package", &["its build reached the "]);
    assert!(
        forks.message.contains("time limit") || forks.message.contains("memory limit"),
        "{forks:?}"
    );
}

fn who_spies_sees_its_own_inputs_and_nothing_of_the_host(kind: Kind) {
    let all = everything(kind);
    let built = all.report.wheel("spies", "3.11").unwrap();
    let found = wheel::read(&built.path, "spies.json").unwrap();
    let found: Value = serde_json::from_slice(&found).unwrap();
    for unreadable in ["shadow", "secret"] {
        assert!(found[unreadable].is_null(), "{unreadable}: {found:#}");
    }
    assert_eq!(
        found["inputs"],
        json!([
            "/in/build.py",
            "/in/build.sh",
            "/in/job.json",
            "/in/source/spies-1.0.tar.gz",
            "/in/wheels/requirements.txt",
        ])
    );
    for none in ["sockets", "devices", "writable"] {
        assert_eq!(found[none], json!([]), "{none}: {found:#}");
    }
    let everything_seen = found.to_string();
    for foreign in [
        "WF_SECRET",
        "of the environment",
        "dockerd",
        "WHEELFARM_STORE",
    ] {
        assert!(!everything_seen.contains(foreign), "{foreign}: {found:#}");
    }
}

fn who_makes_something_else_is_refused(kind: Kind) {
    let all = everything(kind);
    all.failed(
        "two-wheels",
        "package",
        &["2 wheels", "py2-none-any", "py3-none-any"],
    );
    all.failed("no-wheel", "package", &["exit code"]);
    all.failed(
        "other-name",
        "package",
        &["requests-1.0-py3-none-any.whl", "another project"],
    );
    all.failed(
        "other-version",
        "package",
        &["9999", "another project or version"],
    );
    all.failed("other-name-inside", "package", &["requests-9999.dist-info"]);
    all.failed("lies-inside", "package", &["METADATA", "requests 9999"]);
    all.failed("bloats", "package", &["METADATA", "more than"]);
    all.failed("leaves", "package", &["../../tmp/wheelfarm-evil"]);
    all.failed("asks", "request", &["a-project-that-nobody-has"]);
}

fn binaries_that_need_a_newer_machine_are_refused(kind: Kind) {
    let all = everything(kind);
    all.failed(
        "newer-glibc",
        "audit",
        &["manylinux_2_36_x86_64", "GLIBC_2.99", "of_the_future"],
    );
    all.failed(
        "newer-processor",
        "audit",
        &["manylinux_2_36_x86_64", "x86-64-v3 processor"],
    );
}

fn who_shouts_is_cut_short_and_does_not_reach_the_terminal(kind: Kind) {
    let all = everything(kind);
    let failure = all.failed("shouts", "package", &["exit code"]);
    log_has(failure, "the log was cut here");
    log_has(failure, "AAA [...]");
    assert!(failure.tail.iter().all(|line| line.len() < 3000));
    assert!(!all.run.stderr.contains(['\u{1b}', '\u{7}']));
    assert!(all.run.stderr.len() < 200_000, "{}", all.run.stderr.len());
}
