//! Actions whose result the action cache has: what one costs the client.

use std::time::Instant;

use wheelfarm_tests::anyhow::Result;

use super::engine::{Engine, Ours};
use super::measure::{median, processor};
use super::trexe::Trexe;

/// Leaves a file that is as large as a small wheel, and a line of a log.
const SCRIPT: &str = "cat in/file-1 in/file-2 in/file-3 >out/wheel; echo done";
/// The same where inputs lie at the top.
const OUR_SCRIPT: &str = "cat /in/file-1 /in/file-2 /in/file-3 >out/wheel; echo done";
/// How often trexe is asked.
const TREXE: usize = 20;

/// Prints a line of the table.
pub(super) async fn run(engine: &Engine, ours: &Ours) -> Result<()> {
    // Enough for a clock that has ticks of 10 ms.
    let times = match engine {
        Engine::Casd(_) => 1000,
        Engine::BuildGrid(_) => 200,
    };
    let action = ours.action(OUR_SCRIPT, 0).await?;
    ours.run(&action, false).await?;
    let trexe = Trexe::prepare(engine, &ours.root)?;
    trexe.run(SCRIPT, 0, false)?;
    let (mut wall, mut used) = (Vec::new(), 0.0);
    let (mut peer_wall, mut peer_used) = (Vec::new(), Vec::new());
    for _ in 0..TREXE {
        let before = processor()?;
        for _ in 0..times / TREXE {
            let start = Instant::now();
            ours.run(&action, true).await?;
            wall.push(start.elapsed().as_secs_f64());
        }
        used += processor()? - before;
        let cost = trexe.run(SCRIPT, 0, true)?;
        peer_wall.push(cost.wall);
        peer_used.push(cost.processor);
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = used / wall.len() as f64;
    println!(
        "| {} | {:.2} ms | {:.1} ms | {:.1} ms | {:.1} ms |",
        engine.name(),
        each * 1e3,
        median(&wall) * 1e3,
        median(&peer_used) * 1e3,
        median(&peer_wall) * 1e3
    );
    Ok(())
}

/// Prints the head of the table.
pub(super) fn head() {
    println!("\nAn action of which the action cache has the result:\n");
    println!(
        "| engine | our CPU | our wall, p50 | trexe's CPU, a process each | trexe's wall, p50 |"
    );
    println!("|---|---:|---:|---:|---:|");
}
