//! The main job from nothing: builds psycopg2 for three Pythons and proves what comes out.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use wheelfarm_tests::anyhow::{Context, Result, bail, ensure};
use wheelfarm_tests::environment::{repository, target_directory, variable};
use wheelfarm_tests::process::words;
use wheelfarm_tests::report::Report;

use crate::executor::Executor;
use crate::steps::{Steps, cargo, show};
use crate::{images, packages, prove, table};

const JOB: [&str; 4] = ["build", "psycopg2", "--python", "3.9,3.11,3.13"];

/// Where the demo puts things: a store of its own, so that it always shows a first run.
struct Places {
    executor: Executor,
    wheelfarm: PathBuf,
    store: PathBuf,
    cache: PathBuf,
    out: PathBuf,
}

/// `cargo xtask demo [--executor docker|sandbox]`: without the option, where the program would build. The program is a
/// release build, made first, or the one that `WHEELFARM_BIN` names.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let target = target_directory()?;
    let sandbox = target.join("demo/sandbox");
    let executor = match arguments.as_slice() {
        [] => Executor::there_is(sandbox),
        ["--executor", "docker"] => Executor::docker()?,
        ["--executor", "sandbox"] => Executor::Sandbox(sandbox),
        _ => bail!("usage: cargo xtask demo [--executor docker|sandbox]"),
    };
    let mut steps = Steps::default();
    steps.step("what must be installed", || {
        packages::install_for_demo(&executor)
    })?;
    let wheelfarm = if let Some(program) = variable("WHEELFARM_BIN") {
        PathBuf::from(program)
    } else {
        steps.step("the release binary", || {
            show(&mut cargo("build --release --package wheelfarm --locked"))
        })?;
        target.join("release/wheelfarm")
    };
    let places = Places {
        executor,
        wheelfarm,
        store: target.join("demo/store"),
        cache: target.join("demo/cache"),
        out: target.join("demo/wheelhouse"),
    };
    steps.step("builder images and bare runtimes", || {
        images::build_missing_of(&places.executor, &places.wheelfarm)
    })?;
    let first = steps.step("the main job, from an empty store", || {
        for directory in [&places.store, &places.cache, &places.out] {
            if directory.exists() {
                fs_err::remove_dir_all(directory)?;
            }
        }
        build(&places)
    })?;
    let proofs = steps.step("proofs", || prove::all(&places.executor, &first))?;
    let second = steps.step("the main job again, warm", || build(&places))?;
    is_warm(&first, &second)?;

    table::print(&first, &proofs, &places.out);
    println!(
        "\nfirst run: {:.1} s, {} containers, {} bytes downloaded; second run: {:.2} s, {} containers, {} bytes downloaded",
        first.seconds,
        first.containers,
        first.downloaded,
        second.seconds,
        second.containers,
        second.downloaded
    );
    steps.print();
    Ok(())
}

/// The real thing, progress shown.
fn build(places: &Places) -> Result<Report> {
    let mut command = places.executor.command(&places.wheelfarm);
    command
        .args(JOB)
        .arg("--out")
        .arg(relative(&places.out))
        .args(["--format", "json"])
        .current_dir(repository())
        .env("WHEELFARM_STORE", &places.store)
        .env("WHEELFARM_CACHE", &places.cache)
        .stderr(Stdio::inherit());
    let text = words(&command);
    eprintln!("$ {text}");
    let output = command
        .output()
        .with_context(|| format!("`{text}` could not be started"))?;
    if !output.status.success() {
        bail!("`{text}` failed ({}); what it said is above", output.status);
    }
    Report::parse(&String::from_utf8_lossy(&output.stdout), repository())
}

/// `target/demo/wheelhouse`, as one would type it.
fn relative(path: &Path) -> &Path {
    path.strip_prefix(repository()).unwrap_or(path)
}

fn is_warm(first: &Report, second: &Report) -> Result<()> {
    ensure!(
        second.containers == 0,
        "the second run started {} containers",
        second.containers
    );
    ensure!(
        second.downloaded == 0,
        "the second run downloaded {} bytes",
        second.downloaded
    );
    ensure!(
        second.seconds < 1.0,
        "the second run took {:.2} s",
        second.seconds
    );
    let hashes = |report: &Report| {
        report
            .wheels
            .iter()
            .map(|wheel| wheel.sha256.clone())
            .collect::<Vec<_>>()
    };
    ensure!(
        hashes(first) == hashes(second),
        "the second run gave other wheels"
    );
    Ok(())
}
