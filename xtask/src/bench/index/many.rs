//! An index of many files: how long does the server take to start, and what does it hold?

use std::path::{Path, PathBuf};
use std::time::Instant;

use wheelfarm_tests::anyhow::Result;

use super::corpus::wheel;
use super::directory;
use super::load::run_load;
use super::peers::{ALONE, wheelfarm};
use super::publish::publish;

/// Versions of each project.
const VERSIONS: usize = 10;
/// Bytes of a wheel's module.
const SIZE: usize = 200;
/// After so many entries of the log there is a snapshot.
const SNAPSHOT: usize = 1000;
/// How often the server is started; the median counts.
const STARTS: usize = 5;

/// Publishes `files` made-up wheels, once, and starts the server.
///
/// The log is as long after its last snapshot as it can be: what is read one by one at the start is the most that it
/// ever is.
pub(super) fn run(files: usize) -> Result<()> {
    let store = store(files)?;
    println!("| start | seconds | resident, MB | peak, MB |\n|---:|---:|---:|---:|");
    let mut times = Vec::new();
    for turn in 1..=STARTS {
        let started = wheelfarm(&store, &ALONE)?;
        let memory = started.server.memory()?;
        println!(
            "| {turn} | {:.2} | {:.1} | {:.1} |",
            started.seconds, memory.now, memory.peak
        );
        times.push(started.seconds);
        if turn == STARTS {
            after_requests(&started, files)?;
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(STARTS / 2).copied().unwrap_or_default();
    println!("\n{files} files: the server answers after {median:.2} s.");
    Ok(())
}

/// Memory once every page was asked for.
fn after_requests(started: &super::peers::Started, files: usize) -> Result<()> {
    let pages = (0..files.div_ceil(VERSIONS))
        .map(|number| started.root.join(&format!("{}/", project(number))))
        .collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    for page in &pages {
        page.get_ok(&[("Accept", super::peers::JSON)])?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let load = run_load(&started.server, &pages, &[], 5)?;
    let memory = started.server.memory()?;
    println!(
        "\nAll {} pages, once each over a connection of its own, in {seconds:.1} s; then {} requests, {:.0} us of processor time each: {:.1} MB resident, {:.1} MB at most.",
        pages.len(),
        load.requests,
        load.cpu,
        memory.now,
        memory.peak
    );
    Ok(())
}

fn store(files: usize) -> Result<PathBuf> {
    let place = directory()?.join(format!("store-{files}"));
    let done = place.with_extension("done");
    if done.exists() {
        return Ok(place);
    }
    if place.exists() {
        fs_err::remove_dir_all(&place)?;
    }
    eprintln!("publishing {files} files in {}", place.display());
    fill(&place, files)?;
    fs_err::write(done, "")?;
    Ok(place)
}

fn fill(place: &Path, files: usize) -> Result<()> {
    let made = |number: usize| {
        wheel(
            &project(number / VERSIONS),
            &format!("1.{}", number % VERSIONS),
            &[],
            SIZE,
        )
    };
    let alone = (SNAPSHOT - 1).min(files);
    let together = files - alone;
    publish(
        place,
        (0..together).map(made),
        together.div_ceil(SNAPSHOT).max(1),
    )?;
    publish(place, (together..files).map(made), 1)
}

fn project(number: usize) -> String {
    format!("wf-many-{number:05}")
}
