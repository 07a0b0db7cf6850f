//! Uploads: one large blob, and many small ones.

use std::time::Instant;

use bytes::Bytes;
use wheelfarm_reapi::{BlobDigest, Content};
use wheelfarm_tests::anyhow::Result;

use super::bare::Bare;
use super::engine::{Engine, Ours};
use super::measure::{median, noise};

const LARGE: usize = 128 << 20;
const SMALL: usize = 4 << 10;
const MANY: usize = 2000;
const TURNS: u64 = 5;
/// Makes files of noise and prints the seconds that `casupload` takes for them.
const CASUPLOAD: &str = "rm -rf /tmp/bench/up; mkdir -p /tmp/bench/up; cd /tmp/bench/up; \
    head -c $(($1 * $2)) /dev/urandom | split --bytes=$1 --suffix-length=4 - blob-; \
    TIMEFORMAT=%3R; { time casupload --remote=$0 . >/dev/null; } 2>&1";

/// Prints both lines of the table.
pub(super) async fn run(engine: &Engine, ours: &Ours) -> Result<()> {
    println!("\nUploads to {}, MiB/s, p50 of {TURNS}:\n", engine.name());
    println!("| | ours | bare client | | casupload, a process each | |");
    println!("|---|---:|---:|---:|---:|---:|");
    shape(engine, ours, "128 MiB, one blob", LARGE, 1).await?;
    shape(engine, ours, "2,000 blobs of 4 KiB", SMALL, MANY).await
}

async fn shape(engine: &Engine, ours: &Ours, name: &str, size: usize, count: usize) -> Result<()> {
    let client = ours.client.reapi.client();
    let bare = Bare::connect(&engine.address()).await?;
    let (size_text, count_text) = (size.to_string(), count.to_string());
    let peer = [
        "bash",
        "-euc",
        CASUPLOAD,
        engine.address_inside(),
        &size_text,
        &count_text,
    ];
    let (mut mine, mut floor, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let fresh = blobs(size, count, 2 * turn + 1000);
        let contents = fresh
            .iter()
            .map(|(digest, bytes)| (*digest, Content::Given(bytes.clone())));
        let contents = contents.collect();
        let start = Instant::now();
        client.upload(contents, &|_| {}).await?;
        mine.push(start.elapsed().as_secs_f64());

        let fresh = blobs(size, count, 2 * turn + 1001);
        let start = Instant::now();
        match fresh.as_slice() {
            [(digest, content)] => bare.write(digest, content).await?,
            many => bare.send(many).await?,
        }
        floor.push(start.elapsed().as_secs_f64());
        theirs.push(engine.run(&peer)?.trim().parse()?);
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let mebibytes = (size * count) as f64 / f64::from(1 << 20);
    let (mine, floor, theirs) = (median(&mine), median(&floor), median(&theirs));
    println!(
        "| {name} | {:.0} | {:.0} | {:.2}x | {:.0} | {:.2}x |",
        mebibytes / mine,
        mebibytes / floor,
        floor / mine,
        mebibytes / theirs,
        theirs / mine
    );
    Ok(())
}

/// Blobs that nobody has sent yet.
fn blobs(size: usize, count: usize, seed: u64) -> Vec<(BlobDigest, Bytes)> {
    let all = Bytes::from(noise(size * count, seed));
    let parts = (0..count).map(|number| all.slice(number * size..(number + 1) * size));
    parts.map(|bytes| (BlobDigest::of(&bytes), bytes)).collect()
}
