//! `bench repair`: `show` and `repair` beside auditwheel and patchelf, on wheels that the farm has just built and on
//! large ones of the index, in a container with the libraries of all of them.

mod corpus;
mod limit;
mod measure;
mod table;

use std::path::PathBuf;

use wheelfarm_tests::anyhow::{Context, Result, bail};

use corpus::Corpus;
use measure::{Bench, Group, Run};

pub(crate) use limit::run as limit;

/// How often each command is run; the median counts.
const TURNS: usize = 3;

/// Runs the benchmark. Arguments: `--turns N`, and `--small` to leave out the large wheels.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut turns, mut large) = (TURNS, true);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--small" => large = false,
            "--turns" => {
                let number = rest.next().context("`--turns` wants a number")?;
                turns = number.parse().context("`--turns` wants a number")?;
            }
            other => bail!("`bench repair` has `--turns N` and `--small`, not `{other}`"),
        }
    }
    let corpus = Corpus::make(large)?;
    let bench = Bench::prepare(&corpus)?;
    let mut groups: Vec<Group> = Vec::new();
    for wheel in &corpus.small {
        groups.push(of_wheel(wheel, turns));
    }
    groups.push(together(&corpus.small, turns));
    for wheel in &corpus.large {
        groups.push(of_wheel(wheel, 1));
    }
    let results = bench.measure(&groups)?;
    table::print(&results)
}

/// Names of what is measured.
pub(crate) mod name {
    pub(crate) const SHOW: &str = "auditwheel show";
    pub(crate) const OUR_SHOW: &str = "wheelfarm show";
    pub(crate) const REPAIR: &str = "auditwheel repair";
    pub(crate) const OUR_REPAIR: &str = "wheelfarm repair";
    pub(crate) const CHANGED: &str = "what changed";
    pub(crate) const LIMIT: &str = "physical limit";
    /// The group of all small wheels in one call.
    pub(crate) const TOGETHER: &str = "all in one call";
}

fn of_wheel(wheel: &str, repeat: usize) -> Group {
    let path = format!("/bench/wheels/{wheel}");
    Group {
        name: wheel.to_owned(),
        repeat,
        runs: vec![
            Run::new(
                name::SHOW,
                &["python3", "-m", "auditwheel", "show", "--json", &path],
            ),
            Run::new(name::OUR_SHOW, &["/wheelfarm", "show", "--json", &path]),
            Run::writing(
                name::REPAIR,
                "/scratch/theirs",
                &[
                    "python3",
                    "-m",
                    "auditwheel",
                    "repair",
                    "-w",
                    "/scratch/theirs",
                    &path,
                ],
            ),
            Run::writing(
                name::OUR_REPAIR,
                "/scratch/ours",
                &["/wheelfarm", "-q", "repair", "-w", "/scratch/ours", &path],
            ),
            Run::writing(
                name::CHANGED,
                "/scratch/changed",
                &[
                    "/xtask",
                    "bench",
                    "repair-limit",
                    "changed",
                    &path,
                    "/scratch/ours",
                    "/scratch/changed",
                ],
            ),
            Run::new(
                name::LIMIT,
                &[
                    "/xtask",
                    "bench",
                    "repair-limit",
                    "run",
                    &path,
                    "/scratch/changed",
                    "/scratch/limit",
                ],
            ),
        ],
    }
}

fn together(wheels: &[String], repeat: usize) -> Group {
    let paths: Vec<_> = wheels
        .iter()
        .map(|wheel| format!("/bench/wheels/{wheel}"))
        .collect();
    let with = |start: &[&'static str]| -> Vec<String> {
        let start = start.iter().map(|word| (*word).to_owned());
        start.chain(paths.iter().cloned()).collect()
    };
    Group {
        name: name::TOGETHER.to_owned(),
        repeat,
        runs: vec![
            Run {
                name: name::REPAIR,
                out: Some("/scratch/theirs".to_owned()),
                command: with(&[
                    "python3",
                    "-m",
                    "auditwheel",
                    "repair",
                    "-w",
                    "/scratch/theirs",
                ]),
            },
            Run {
                name: name::OUR_REPAIR,
                out: Some("/scratch/ours".to_owned()),
                command: with(&["/wheelfarm", "-q", "repair", "-w", "/scratch/ours"]),
            },
        ],
    }
}

/// Where the benchmark keeps its things.
fn directory() -> Result<PathBuf> {
    super::wheels::directory("repair")
}
