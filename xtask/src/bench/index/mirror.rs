//! A large wheel that no client has asked for yet, from an index that is far away: how often is it fetched from
//! there, and how long do clients wait that ask for it at the same time?

use std::path::Path;

use wheelfarm_tests::anyhow::{Result, ensure};

use super::corpus::{Corpus, LARGE, filename};
use super::download::download;
use super::http::Url;
use super::measure::AT_ONCE;
use super::nginx::{Delivery, Tree};
use super::peers::{Peer, Started, file, proxpi, wheelfarm};
use super::{devpi, directory};

/// Bytes that the index behind gives in a second, over each connection.
pub(super) const RATE: u32 = 40_000_000;

/// What came of it.
#[derive(Debug)]
pub(super) struct Mirrored {
    pub(super) peer: Peer,
    /// Requests for the wheel that the index behind got.
    pub(super) fetches: usize,
    /// Clients that were sent there.
    pub(super) redirected: usize,
    /// Seconds until the last client had a byte.
    pub(super) first: f64,
    /// Seconds until the last client had all.
    pub(super) last: f64,
}

/// Measures all that mirror.
pub(super) fn run(corpus: &Corpus, tree: &Tree, peers: &[Peer]) -> Result<Vec<Mirrored>> {
    let mut all = Vec::new();
    for peer in peers {
        let place = directory()?.join("mirror").join(peer.name());
        fs_err::create_dir_all(&place)?;
        let log = place.join("requests");
        if log.exists() {
            fs_err::remove_file(&log)?;
        }
        let delivery = Delivery {
            files: &format!("limit_rate {RATE};"),
            log: Some(&log),
        };
        let upstream = tree.serve(&place.join("nginx"), &delivery)?;
        let Some(started) = start(*peer, &place, &upstream.root)? else {
            continue;
        };
        eprintln!("\n== {} as a mirror", peer.name());
        let mirrored = measure(*peer, &started, corpus, &log)?;
        eprintln!("{mirrored:?}");
        all.push(mirrored);
    }
    Ok(all)
}

/// Starts it with nothing kept from before, if it can mirror.
fn start(peer: Peer, place: &Path, upstream: &Url) -> Result<Option<Started>> {
    match peer {
        Peer::Wheelfarm => {
            let store = place.join("store");
            if store.exists() {
                fs_err::remove_dir_all(&store)?;
            }
            wheelfarm(&store, &["--upstream", &upstream.to_string()]).map(Some)
        }
        Peer::Proxpi => proxpi(place, upstream, &[]).map(Some),
        Peer::Devpi => devpi::mirror(place, upstream).map(Some),
        _ => Ok(None),
    }
}

fn measure(peer: Peer, started: &Started, corpus: &Corpus, log: &Path) -> Result<Mirrored> {
    let (project, _) = LARGE[1];
    let name = filename(project, "1.0");
    let url = file(&started.root, project, &name)?;
    let downloads = download(&url, AT_ONCE)?;
    let size = fs_err::metadata(corpus.path(&name))?.len();
    ensure!(
        downloads.iter().all(|it| it.bytes == size),
        "{} gave other bytes",
        peer.name()
    );
    let asked = fs_err::read_to_string(log)?;
    let wheel = format!("/{name} ");
    let fetches = asked
        .lines()
        .filter(|line| line.contains("\"GET ") && line.contains(&wheel));
    Ok(Mirrored {
        peer,
        fetches: fetches.count(),
        redirected: downloads.iter().filter(|it| it.redirected).count(),
        first: downloads.iter().map(|it| it.first).fold(0.0, f64::max),
        last: downloads.iter().map(|it| it.last).fold(0.0, f64::max),
    })
}
