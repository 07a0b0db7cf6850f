//! One server after the other: all cases, downloads, clients, memory.

use wheelfarm_tests::anyhow::Result;

use super::cases::CASES;
use super::clients::{self, Fetched};
use super::corpus::{Corpus, LARGE, filename};
use super::download::{Download, download};
use super::load::{Load, run_load};
use super::nginx::Tree;
use super::peers::{Peer, Started, file};
use super::process::{Memory, Server};

/// Clients that download the large wheel at the same time.
pub(super) const AT_ONCE: usize = 8;

/// How long things are measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Seconds of a load.
    pub(super) seconds: u32,
    /// Loads of a case on a server that is not in Python; those are so far away that one says enough.
    pub(super) turns: u32,
}

/// What was measured of a server; where it could not do something, why.
pub(super) struct Measured {
    pub(super) peer: Peer,
    pub(super) seconds: f64,
    pub(super) idle: Memory,
    /// In the order of [`CASES`].
    pub(super) cases: Vec<Result<Load>>,
    pub(super) one: Result<Transfer>,
    pub(super) several: Result<Transfer>,
    pub(super) pip: Result<Fetched>,
    pub(super) uv: Result<Fetched>,
    /// After everything.
    pub(super) memory: Memory,
}

/// Downloads of the large wheel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    /// MB in a second, all clients together.
    pub(super) rate: f64,
    /// Milliseconds of the server's processor time for one download.
    pub(super) cpu: f64,
}

/// Measures a server.
pub(super) fn measure(
    peer: Peer,
    corpus: &Corpus,
    tree: &Tree,
    effort: Effort,
) -> Result<Measured> {
    eprintln!("\n== {}", peer.name());
    let started = peer.start(corpus, tree)?;
    let idle = started.server.memory()?;
    let turns = if peer.is_python() { 1 } else { effort.turns };
    let mut cases = Vec::new();
    for case in CASES {
        let loads = case.ask(&started.root, corpus).and_then(|question| {
            (0..turns)
                .map(|_| {
                    let urls = std::slice::from_ref(&question.url);
                    run_load(&started.server, urls, &question.headers, effort.seconds)
                })
                .collect::<Result<Vec<_>>>()
        });
        let load = loads.map(|loads| best(&loads));
        match &load {
            Ok(load) => eprintln!(
                "{:26} {:8.0}/s  {:8.2} / {:8.2} ms  {:8.1} us",
                case.name, load.rate, load.p50, load.p99, load.cpu
            ),
            Err(error) => eprintln!("{:26} {error:#}", case.name),
        }
        cases.push(load);
    }
    let more = if peer.is_python() { 1 } else { 5 };
    let one = transfer(&started, 1, more);
    let several = transfer(&started, AT_ONCE, 1);
    say("wheel of 100 MB", &one);
    say("wheel of 100 MB at once", &several);
    let pip = clients::pip(&started.server, &started.root, 2);
    let uv = clients::uv(&started.server, &started.root, 5);
    say("pip", &pip);
    say("uv", &uv);
    let memory = started.server.memory()?;
    eprintln!("idle {idle:?}, in the end {memory:?}");
    Ok(Measured {
        peer,
        seconds: started.seconds,
        idle,
        cases,
        one,
        several,
        pip,
        uv,
        memory,
    })
}

fn say(name: &str, measured: &Result<impl std::fmt::Debug>) {
    match measured {
        Ok(measured) => eprintln!("{name}: {measured:?}"),
        Err(error) => eprintln!("{name}: {error:#}"),
    }
}

/// The turn with the least processor time: whatever else the machine does only adds to it.
fn best(loads: &[Load]) -> Load {
    let mut best = Load::NONE;
    for load in loads {
        if load.cpu < best.cpu {
            best = *load;
        }
    }
    best
}

fn transfer(started: &Started, clients: usize, turns: u32) -> Result<Transfer> {
    let (project, _) = LARGE[1];
    let url = file(&started.root, project, &filename(project, "1.0"))?;
    let server: &Server = &started.server;
    let before = server.cpu()?;
    let (mut seconds, mut bytes, mut downloads) = (0.0, 0.0, 0.0);
    for _ in 0..turns {
        let all: Vec<Download> = download(&url, clients)?;
        seconds += all.iter().map(|one| one.last).fold(0.0, f64::max);
        for one in all {
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
            let length = one.bytes as f64;
            bytes += length;
            downloads += 1.0;
        }
    }
    Ok(Transfer {
        rate: bytes / 1e6 / seconds,
        cpu: (server.cpu()? - before) * 1e3 / downloads,
    })
}
