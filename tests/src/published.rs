//! Files in a farm's index that are of any size and no wheels: what only hands them out does not look inside.

use std::convert::Infallible;

use anyhow::Result;
use chrono::DateTime;
use wheelfarm_index::registry::{Actor, Channel, Event, Origin, PublishedFile, Registry};
use wheelfarm_store::Store;
use wheelfarm_types::WheelFilename;

use crate::farm::Farm;

/// Publishes `bytes` under a wheel's name in `main`, past the server, and returns the path of its address.
pub fn publish(farm: &Farm, filename: &str, bytes: Vec<u8>) -> Result<String> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let store = Store::open(&farm.store().display().to_string()).await?;
        let parsed: WheelFilename = filename.parse()?;
        let size = bytes.len() as u64;
        let file = PublishedFile {
            filename: filename.to_owned(),
            project: parsed.project()?,
            version: parsed.version,
            blob: store.put(bytes.into()).await?,
            size,
            uploaded: DateTime::UNIX_EPOCH,
            requires_python: None,
            metadata: None,
            audit: None,
            summary: None,
            origin: Origin::Uploaded,
        };
        let path = format!("/files/{}/{filename}", file.blob);
        let event = Event::Published {
            channel: Channel::main(),
            file: Box::new(file),
        };
        Registry::open(store)
            .await?
            .commit(&Actor::Operator, DateTime::UNIX_EPOCH, |_| {
                Ok::<_, Infallible>((vec![event.clone()], ()))
            })
            .await?;
        Ok(path)
    })
}

/// Bytes of which none says what the next one is; the same for the same `size`.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = size as u64 | 1;
    std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
    })
    .flatten()
    .take(size)
    .collect()
}
