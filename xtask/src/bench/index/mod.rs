//! `bench index`: `wheelfarm serve` beside nginx with a static index and beside the index servers in Python.

mod cases;
mod clients;
mod corpus;
mod devpi;
mod download;
mod endurance;
mod http;
mod load;
mod many;
mod measure;
mod mirror;
mod nginx;
mod peers;
mod process;
mod publish;
mod python;
mod table;

use std::path::PathBuf;

use wheelfarm_tests::anyhow::{Context, Result, bail};

use corpus::Corpus;
use measure::{Effort, measure};
use nginx::Tree;
use peers::Peer;

use crate::packages;
use crate::steps::{cargo, show};

pub(crate) use download::run as download;

/// What is asked for on the command line.
struct Settings {
    mode: Mode,
    peers: Vec<Peer>,
    effort: Effort,
}

enum Mode {
    /// The table.
    Table,
    /// Memory over so many requests.
    Requests(u64),
    /// An index of so many files.
    Files(usize),
}

/// Runs the benchmark: `[--only NAME,...] [--seconds N] [--turns N]`, or `--requests N`, or `--files N`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let settings = settings(arguments)?;
    packages::install_for_index()?;
    show(&mut cargo("build --release --package wheelfarm --locked"))?;
    match settings.mode {
        Mode::Files(files) => return many::run(files),
        Mode::Requests(requests) => return endurance::run(&corpus()?, requests),
        Mode::Table => {}
    }
    let machine = table::machine()?;
    let corpus = corpus()?;
    let tree = {
        let ours = Peer::Wheelfarm.start(&corpus, &Tree::none())?;
        Tree::copy(&directory()?.join("tree"), &ours.root, &corpus)?
    };
    let measured = settings
        .peers
        .iter()
        .map(|peer| measure(*peer, &corpus, &tree, settings.effort))
        .collect::<Result<Vec<_>>>()?;
    let mirrored = mirror::run(&corpus, &tree, &settings.peers)?;
    let section = table::section(&measured, &mirrored, settings.effort, &machine);
    let path = directory()?.join("index.md");
    fs_err::write(&path, &section)?;
    println!("\n{section}");
    eprintln!("written to {}", path.display());
    Ok(())
}

fn settings(arguments: &[String]) -> Result<Settings> {
    let mut settings = Settings {
        mode: Mode::Table,
        peers: Peer::ALL.to_vec(),
        effort: Effort {
            seconds: 2,
            turns: 3,
        },
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            let value = rest.next();
            value.with_context(|| format!("`{argument}` wants a value"))
        };
        match argument.as_str() {
            "--requests" => settings.mode = Mode::Requests(value()?.parse()?),
            "--files" => settings.mode = Mode::Files(value()?.parse()?),
            "--seconds" => settings.effort.seconds = value()?.parse()?,
            "--turns" => settings.effort.turns = value()?.parse()?,
            "--only" => {
                let names: Vec<_> = value()?.split(',').collect();
                settings.peers.retain(|peer| names.contains(&peer.name()));
            }
            other => bail!(
                "`bench index` has `--only`, `--seconds`, `--turns`, `--requests` and `--files`, not `{other}`"
            ),
        }
    }
    Ok(settings)
}

fn corpus() -> Result<Corpus> {
    Corpus::make(&directory()?)
}

/// Where the benchmark keeps its things.
fn directory() -> Result<PathBuf> {
    super::wheels::directory("index")
}
