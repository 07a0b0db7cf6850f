//! Runs the fuzz targets, each for some time: none may find anything.

use std::path::{Path, PathBuf};

use wheelfarm_tests::anyhow::{Context, Result, bail};
use wheelfarm_tests::environment::{repository, target_directory};

use crate::steps::{Steps, cargo, show};

/// Every crate with targets, and the seeds of each.
const CRATES: [(&str, &[(&str, &str)]); 4] = [
    (
        "wheelfarm-elf",
        &[("parse", "object"), ("edit", "edit"), ("strip", "object")],
    ),
    (
        "wheelfarm-wheel",
        &[
            ("filename", "filename"),
            ("headers", "headers"),
            ("open", "open"),
            ("record", "record"),
            ("write", "write"),
        ],
    ),
    ("wheelfarm-audit", &[("audit", "audit"), ("root", "root")]),
    ("wheelfarm-repair", &[("repair", "repair")]),
];
/// What a target is run for if nobody says otherwise.
const SECONDS: u64 = 60;
/// Most memory that a target may use, and most that it may ask for at once, in MiB.
const MEMORY: u64 = 2048;
const ALLOCATION: u64 = 512;
/// Seconds that one input may take, with a sanitizer, on a busy machine.
const TIMEOUT: u64 = 20;
/// Longest input that is made, in bytes.
const LENGTH: u64 = 16 << 10;
/// Temporary files of targets go to memory where there is such a directory.
const IN_MEMORY: &str = "/dev/shm";

/// `fuzz [SECONDS [TARGET...]]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (seconds, wanted) = match arguments.split_first() {
        Some((seconds, wanted)) => {
            let number = seconds.parse().ok();
            let seconds = number.with_context(|| format!("`{seconds}` is no number of seconds"));
            (seconds?, wanted)
        }
        None => (SECONDS, arguments),
    };
    let all: Vec<_> = CRATES
        .iter()
        .flat_map(|(name, targets)| targets.iter().map(move |target| (*name, *target)))
        .collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|wanted| !all.iter().any(|(_, (target, _))| target == wanted))
    {
        let known: Vec<&str> = all.iter().map(|(_, (target, _))| *target).collect();
        bail!(
            "there is no fuzz target `{unknown}`; there are {}",
            known.join(", ")
        );
    }
    let installed = cargo("fuzz --version").output();
    if !installed.is_ok_and(|output| output.status.success()) {
        bail!(
            "cargo-fuzz is not installed: `cargo install cargo-fuzz --locked`; it also wants a C++ compiler"
        );
    }
    let mut steps = Steps::default();
    for (name, (target, seeds)) in all {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == target) {
            steps.step(&format!("{name}: {target}"), || {
                one(name, target, seeds, seconds)
            })?;
        }
    }
    steps.print();
    Ok(())
}

/// What it learns stays in the corpus beside the crate, which the next run begins with.
fn one(name: &str, target: &str, seeds: &str, seconds: u64) -> Result<()> {
    let directory = repository().join("crates").join(name);
    let corpus = PathBuf::from("fuzz/corpus").join(target);
    fs_err::create_dir_all(directory.join(&corpus))?;
    let mut command = cargo("fuzz run --target-dir");
    command
        .current_dir(&directory)
        // cargo-fuzz asks for options that only a nightly compiler has, unless it is told to pass for one.
        .env("RUSTC_BOOTSTRAP", "1")
        .arg(target_directory()?.join("fuzz"))
        .arg(target)
        .arg(corpus)
        .arg(Path::new("fuzz/seeds").join(seeds))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-malloc_limit_mb={ALLOCATION}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-max_len={LENGTH}"))
        .arg("-print_final_stats=1");
    if Path::new(IN_MEMORY).is_dir() {
        command.env("TMPDIR", IN_MEMORY);
    }
    show(&mut command)
}
