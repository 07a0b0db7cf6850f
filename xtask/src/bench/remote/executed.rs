//! Actions that are executed: ours beside the engine's own client, in turns.

use std::time::Instant;

use wheelfarm_build::action::Execution;
use wheelfarm_tests::anyhow::Result;

use super::engine::{Engine, Ours};
use super::floor::Floor;
use super::measure::{median, processor};
use super::trexe::Trexe;

const SCRIPT: &str = "true";

/// Prints a line of the table.
pub(super) async fn run(engine: &Engine, ours: &Ours) -> Result<()> {
    let turns = match engine {
        Engine::Casd(_) => 30,
        Engine::BuildGrid(_) => 20,
    };
    let trexe = Trexe::prepare(engine, &ours.root)?;
    let floor = Floor::prepare(ours, engine).await?;
    let (mut walls, mut used, mut on_worker) = (Vec::new(), 0.0, Vec::new());
    let (mut theirs, mut floors) = (Vec::new(), Vec::new());
    // The first ones let workers fetch the root file system.
    for turn in 0..=turns {
        let sent = floor.send(SCRIPT, turn).await?;
        let bare = floor.execute(&sent).await?;
        let cost = trexe.run(SCRIPT, turn, false)?;
        let action = ours.action(SCRIPT, turn).await?;
        let before = processor()?;
        let start = Instant::now();
        let result = ours.run(&action, false).await?;
        let wall = start.elapsed().as_secs_f64();
        if turn > 0 {
            used += processor()? - before;
            walls.push(wall);
            floors.push(bare);
            theirs.push(cost.wall);
            on_worker.extend(result.execution.as_ref().map(worker));
        }
    }
    let (ours, theirs, bare) = (median(&walls), median(&theirs), median(&floors));
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = used / walls.len() as f64;
    println!(
        "| {} | {:.0} ms | {:.0} ms | {:.2}x | {:.0} ms | {:.2}x | {:.0} ms | {:.1} ms |",
        engine.name(),
        ours * 1e3,
        theirs * 1e3,
        ours / theirs,
        bare * 1e3,
        ours / bare,
        median(&on_worker) * 1e3,
        each * 1e3
    );
    Ok(())
}

/// What a worker says that it took, in seconds.
fn worker(execution: &Execution) -> f64 {
    execution.fetching.unwrap_or_default() + execution.running.unwrap_or_default()
}

/// Prints the head of the table.
pub(super) fn head() {
    println!("\nAn action that is executed, `true` in the root of a bare runtime, wall p50:\n");
    println!(
        "| engine | ours | trexe | | `Execute` alone | | of it inputs and command, as the worker says | our CPU |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
}
