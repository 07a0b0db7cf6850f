//! Thousands of small actions, many of them in flight: whether all come back once, and what that takes.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use wheelfarm_build::action::Executor;
use wheelfarm_tests::anyhow::{Context, Result, ensure};

use super::engine::{Engine, Ours};
use super::floor::Floor;
use super::measure::{processor, resident};

/// Actions in flight.
const FLIGHT: usize = 16;
/// After so many, memory should not grow any more.
const WARM: usize = 200;
/// Actions for the engine's own limit, before and again after: other work shares the machine.
const LIMIT: usize = 32;
/// Each leaves its number.
const SCRIPT: &str = "echo $NUMBER >out/number";
/// Numbers that no other part of the benchmark has.
const FIRST: usize = 1_000_000;

/// Has `count` actions executed and prints a line of the table.
pub(super) async fn run(engine: &Engine, ours: &Arc<Ours>, count: usize) -> Result<()> {
    let floor = Floor::prepare(ours, engine).await?;
    let limit_before = limit(&floor, FIRST).await?;
    let before = ours.client.reapi.started();
    let mut seen = vec![0_u32; count];
    let (mut warm, mut most) = (0.0_f64, 0.0_f64);
    let used = processor()?;
    let start = Instant::now();
    let mut flying = JoinSet::new();
    let (mut next, mut done) = (0, 0);
    loop {
        while next < count && flying.len() < FLIGHT {
            flying.spawn(one(Arc::clone(ours), next));
            next += 1;
        }
        let Some(number) = flying.join_next().await else {
            break;
        };
        let number = number??;
        *seen.get_mut(number).context("a number that none has")? += 1;
        done += 1;
        let now = resident()?;
        if done <= WARM {
            warm = warm.max(now);
        }
        most = most.max(now);
    }
    let seconds = start.elapsed().as_secs_f64();
    let used = processor()? - used;
    let limit = f64::midpoint(limit_before, limit(&floor, FIRST + LIMIT).await?);
    let lost = seen.iter().filter(|seen| **seen == 0).count();
    let doubled = seen.iter().filter(|seen| **seen > 1).count();
    let executed = ours.client.reapi.started() - before;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let all = count as f64;
    println!(
        "| {} | {count} | {lost} | {doubled} | {executed} | {:.2} | {limit:.2} | {:.2}x | {:.1} ms | {warm:.1} | {:.1} | {most:.1} |",
        engine.name(),
        all / seconds,
        all / seconds / limit,
        used / all * 1e3,
        resident()?,
    );
    ensure!(
        lost == 0 && doubled == 0,
        "{lost} results were lost, {doubled} came twice"
    );
    Ok(())
}

/// Runs the action `number`: the number that it left.
async fn one(ours: Arc<Ours>, number: usize) -> Result<usize> {
    let action = ours.action(SCRIPT, FIRST + number).await?;
    let result = ours.run(&action, false).await?;
    let left = result.outputs.get("number").context("it left no number")?;
    let left: usize = std::str::from_utf8(left)?.trim().parse()?;
    left.checked_sub(FIRST).context("it left another number")
}

/// Actions in a second that the engine does for who does nothing else: they are there before. Their numbers begin at
/// `first`.
async fn limit(floor: &Floor<'_>, first: usize) -> Result<f64> {
    let mut sent = Vec::new();
    for number in first..first + LIMIT {
        sent.push(floor.send(SCRIPT, number).await?);
    }
    let start = Instant::now();
    let places = tokio::sync::Semaphore::new(FLIGHT);
    let actions = sent.iter().map(async |action| {
        let _place = places.acquire().await?;
        floor.execute(action).await
    });
    futures::future::try_join_all(actions).await?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok(LIMIT as f64 / start.elapsed().as_secs_f64())
}

/// Prints the head of the table.
pub(super) fn head() {
    println!("\nMany small actions, {FLIGHT} of them in flight:\n");
    println!(
        "| engine | actions | lost | doubled | executed | a second | engine's limit | | our CPU, each | MB, first {WARM} | at the end | most |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
}
