//! Downloads of large files by several clients at once, in a process of its own on the clients' core.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use wheelfarm_tests::anyhow::{Context, Result, anyhow, ensure};
use wheelfarm_tests::process;

use super::http::Url;
use super::process::client;

/// What a client saw, in seconds from when all were started.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Download {
    /// Until the first byte of the body.
    pub(super) first: f64,
    /// Until the last.
    pub(super) last: f64,
    /// Bytes of the body.
    pub(super) bytes: u64,
    /// Whether it was sent somewhere else.
    pub(super) redirected: bool,
}

/// Downloads `url` with `clients` clients that begin at the same time.
pub(super) fn download(url: &Url, clients: usize) -> Result<Vec<Download>> {
    let mut command = client(std::env::current_exe()?);
    command.args(["bench", "index-download", &url.to_string()]);
    command.arg(clients.to_string());
    Ok(serde_json::from_str(&process::run(&mut command)?)?)
}

/// `bench index-download URL CLIENTS`, called by [`download`]: prints what clients saw.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [url, clients] = arguments else {
        wheelfarm_tests::anyhow::bail!("`bench index-download` wants an address and a number");
    };
    let url = Url::parse(url)?;
    let clients: usize = clients.parse()?;
    let start = Instant::now();
    let downloads: Result<Vec<Download>> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| one(&url, start)))
            .collect();
        started
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
            .collect()
    });
    println!("{}", serde_json::to_string(&downloads?)?);
    Ok(())
}

fn one(url: &Url, start: Instant) -> Result<Download> {
    let mut head = url.open(&[])?;
    let redirected = (300..400).contains(&head.status);
    if redirected {
        let target = head.header("location").context("a redirect says where")?;
        head = url.join(target)?.open(&[])?;
    }
    ensure!(head.status == 200, "{url} answers {}", head.status);
    let length = head.header("content-length").map(str::parse).transpose()?;
    let (mut first, mut bytes) = (None, 0);
    loop {
        let read = head.next()?.len() as u64;
        if read == 0 {
            break;
        }
        first.get_or_insert_with(|| start.elapsed().as_secs_f64());
        bytes += read;
        if length == Some(bytes) {
            break;
        }
    }
    ensure!(
        length.is_none_or(|length: u64| length == bytes),
        "{url} ends early"
    );
    Ok(Download {
        first: first.with_context(|| format!("{url} is empty"))?,
        last: start.elapsed().as_secs_f64(),
        bytes,
        redirected,
    })
}
