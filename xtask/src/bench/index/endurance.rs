//! Many requests: does memory stay where it is?

use wheelfarm_tests::anyhow::{Result, ensure};

use super::cases::CASES;
use super::corpus::Corpus;
use super::http::Url;
use super::load::run_load;
use super::peers::{ALONE, store, wheelfarm};

/// Seconds between two looks at the memory.
const STEP: u32 = 5;
/// What may be added to resident memory from the first tenth of the requests to the end, in MB.
const GROWTH: f64 = 8.0;

/// Asks for pages, metadata and small wheels in turns, until there were so many requests.
pub(super) fn run(corpus: &Corpus, requests: u64) -> Result<()> {
    let started = wheelfarm(&store(corpus)?, &ALONE)?;
    let urls: Vec<Url> = CASES
        .iter()
        .filter(|case| !case.name.contains("1 MB"))
        .map(|case| Ok(case.ask(&started.root, corpus)?.url))
        .collect::<Result<_>>()?;
    println!("| requests | resident, MB | peak, MB | requests/s |\n|---:|---:|---:|---:|");
    let memory = started.server.memory()?;
    println!("| 0 | {:.1} | {:.1} | |", memory.now, memory.peak);
    let (mut answered, mut early) = (0, None);
    while answered < requests {
        let load = run_load(&started.server, &urls, &[], STEP)?;
        answered += load.requests;
        let memory = started.server.memory()?;
        println!(
            "| {answered} | {:.1} | {:.1} | {:.0} |",
            memory.now, memory.peak, load.rate
        );
        if early.is_none() && answered >= requests / 10 {
            early = Some(memory.now);
        }
    }
    let grown = started.server.memory()?.now - early.unwrap_or_default();
    println!("\nAfter the first tenth, resident memory grew by {grown:.1} MB.");
    ensure!(
        grown < GROWTH,
        "memory is not flat: it grew by {grown:.1} MB"
    );
    Ok(())
}
