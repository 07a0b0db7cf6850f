//! Wheels into a store and its index, through the libraries: uploading tens of thousands would take hours.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use wheelfarm_index::registry::{
    Actor, Channel, Event, MetadataFile, Origin, PublishedFile, Registry,
};
use wheelfarm_store::Store;
use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_types::{Digest, WheelFilename};
use wheelfarm_wheel::Wheel;

use super::corpus::Made;

/// Files that are published by one entry of the log.
const BATCH: usize = 49;

/// When everything was published: the same in every run, so that pages are.
fn published_at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 123_456_000).unwrap_or_default()
}

/// Publishes all wheels of a directory in an empty store at `store`.
pub(super) fn wheels(store: &Path, wheels: &Path, names: &[String]) -> Result<()> {
    let made = names.iter().map(|name| {
        let path = wheels.join(name);
        let wheel = Wheel::open(&path)?;
        let metadata = wheel.read(&format!("{}/METADATA", wheel.dist_info()))?;
        Ok(Made {
            filename: name.clone(),
            metadata: String::from_utf8(metadata)?,
            bytes: fs_err::read(path)?,
        })
    });
    publish(store, made, BATCH)
}

/// Publishes wheels as they are made, `batch` at a time.
pub(super) fn publish(
    store: &Path,
    wheels: impl Iterator<Item = Result<Made>>,
    batch: usize,
) -> Result<()> {
    let address = store.to_str().context("the store's path is plain")?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let store = Store::open(address).await?;
        let registry = Registry::open(store.clone()).await?;
        let mut events = Vec::new();
        for made in wheels {
            let file = put(&store, made?)?;
            events.push(Event::Published {
                channel: Channel::main(),
                file: Box::new(file),
            });
            if events.len() >= batch {
                commit(&registry, std::mem::take(&mut events)).await?;
            }
        }
        commit(&registry, events).await
    })
}

fn put(store: &Store, made: Made) -> Result<PublishedFile> {
    let filename: WheelFilename = made.filename.parse()?;
    let size = made.bytes.len() as u64;
    let metadata = MetadataFile {
        size: made.metadata.len() as u64,
        blob: keep(store, made.metadata.as_bytes())?,
    };
    Ok(PublishedFile {
        project: filename.project()?,
        version: filename.version,
        filename: made.filename,
        blob: keep(store, &made.bytes)?,
        size,
        uploaded: published_at(),
        requires_python: Some(">=3.8".to_owned()),
        audit: None,
        metadata: Some(metadata),
        summary: Some("made up to be measured".to_owned()),
        origin: Origin::Uploaded,
    })
}

/// Makes a blob where the store has it, but does not wait for the disk as the store does: with tens of thousands that
/// would take an hour.
fn keep(store: &Store, bytes: &[u8]) -> Result<Digest> {
    let digest = Digest::of(bytes);
    let place = PathBuf::from(store.locate(&digest));
    fs_err::create_dir_all(place.parent().context("a blob has a directory")?)?;
    fs_err::write(place, bytes)?;
    Ok(digest)
}

async fn commit(registry: &Registry, events: Vec<Event>) -> Result<()> {
    registry
        .commit(&Actor::Operator, published_at(), |_| {
            Ok::<_, Infallible>((events.clone(), ()))
        })
        .await?;
    Ok(())
}
