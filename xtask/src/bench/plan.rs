//! `cargo xtask bench plan`: what planning a job costs, in time and memory.
//!
//! Thousands of packages are made up, each to be built with one of a few tools that have no wheels either. The store
//! is in memory and the executor takes no time, so what is measured is the program's own work. Every count is a process
//! of its own: memory that one plan leaves behind must not serve the next.

use std::process::Command;
use std::time::Instant;

use wheelfarm_coordinator::{plan, run as build};
use wheelfarm_tests::anyhow::{Context, Result, bail};
use wheelfarm_tests::synthetic::{Package, Synthetic};

const COUNTS: [usize; 3] = [1_000, 10_000, 20_000];
const TOOLS: usize = 20;
/// Plans of each state; the fastest counts, since other work shares the machine.
const TURNS: usize = 5;

pub(super) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {
            println!("| jobs | state | us/job | bytes/job |\n|---:|---|---:|---:|");
            for count in COUNTS {
                let status = Command::new(std::env::current_exe()?)
                    .args(["bench", "plan", &count.to_string()])
                    .status()?;
                if !status.success() {
                    bail!("planning {count} jobs failed");
                }
            }
            Ok(())
        }
        [count] => {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(measure(count.parse()?))
        }
        _ => bail!("`bench plan` takes a number of jobs, or nothing"),
    }
}

async fn measure(count: usize) -> Result<()> {
    let tool = |n: usize| Package {
        name: format!("tool-{n}"),
        requires: Vec::new(),
    };
    let job = |n: usize| Package {
        name: format!("job-{n}"),
        requires: vec![format!("tool-{}", n % TOOLS)],
    };
    let packages: Vec<_> = (0..TOOLS).map(tool).chain((0..count).map(job)).collect();
    let wanted: Vec<_> = packages
        .iter()
        .skip(TOOLS)
        .map(|package| package.name.as_str())
        .collect();
    let mut farm = Synthetic::new(&["3.11"], &[]).await?;
    let tools: Vec<_> = wanted.iter().take(TOOLS).copied().collect();
    // The tools and a few jobs are built, and the sources have been seen once.
    let request = farm.request(&packages, &tools).await?;
    let report = build(&farm.context, &request).await;
    if let Some(failure) = report.failures.first() {
        bail!("{}", failure.error);
    }
    let request = farm.request(&packages, &wanted).await?;
    drop(plan(&farm.context, &request).await);
    turns(&mut farm, &request, count, "to be built").await?;
    let report = build(&farm.context, &request).await;
    if report.wheels.len() != count {
        bail!("{} of {count} were built", report.wheels.len());
    }
    drop(report);
    turns(&mut farm, &request, count, "built").await
}

/// Plans several times, each as in a new process, and prints the figures.
async fn turns(
    farm: &mut Synthetic,
    request: &wheelfarm_coordinator::BuildRequest,
    count: usize,
    state: &str,
) -> Result<()> {
    let mut fastest = f64::INFINITY;
    let mut most = 0;
    for _ in 0..TURNS {
        farm.forget();
        let before = resident()?;
        let start = Instant::now();
        let planned = plan(&farm.context, request).await;
        fastest = fastest.min(start.elapsed().as_secs_f64());
        most = most.max(resident()?.saturating_sub(before));
        let jobs: usize = planned.cells.iter().map(|cell| cell.jobs.len()).sum();
        if jobs != count {
            bail!("{jobs} of {count} jobs were planned");
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = fastest * 1e6 / count as f64;
    println!("| {count} | {state} | {each:.1} | {} |", most / count);
    Ok(())
}

/// Bytes of memory that this process has.
fn resident() -> Result<usize> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line
        .context("there is no VmRSS")?
        .trim()
        .trim_end_matches(" kB");
    Ok(kilobytes.trim().parse::<usize>()? << 10)
}
