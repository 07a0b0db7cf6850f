//! Uploads: what is missing, small blobs together, large ones as streams.

mod batch;
mod write;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};

use crate::client::Client;
use crate::content::Content;
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error};

/// Blobs up to this size, in bytes, go together with others. Larger ones are streamed, which needs less memory.
const SMALL: u64 = 512 << 10;
/// Blobs that go together have at most as many bytes: several messages at once are worked on at once.
const BATCH: u64 = 1 << 20;
/// What a blob costs in a message beside its content, in bytes: its digest and the framing, rounded up.
const FRAME: u64 = 120;

/// What an upload came to, or has come to until now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Blobs that the server had.
    pub found: u64,
    /// Blobs that were sent.
    pub sent: u64,
    /// Their sizes together, in bytes, before compression.
    pub bytes: u64,
}

/// What is sent at once.
enum Parcel {
    Batch(Vec<(BlobDigest, Content)>),
    Stream(BlobDigest, Content),
}

impl Client {
    /// Brings `blobs` to the server, each once, and only those that it has not. `progress` is told whenever some are
    /// done, all together.
    ///
    /// Contents are opened when their turn comes, no more than [`Settings::uploads`](crate::Settings::uploads) at a
    /// time in all calls of a client together.
    pub async fn upload(
        &self,
        blobs: Vec<(BlobDigest, Content)>,
        progress: &(dyn Fn(Uploaded) + Sync),
    ) -> Result<Uploaded, Error> {
        if let Some(largest) = self.capabilities().max_blob_bytes
            && let Some((digest, _)) = blobs.iter().find(|(digest, _)| digest.size > largest)
        {
            return Err(error(
                ErrorKind::TooLarge,
                format!(
                    "{digest} cannot be uploaded: the server takes blobs up to {largest} bytes"
                ),
            ));
        }
        let digests: Vec<BlobDigest> = blobs.iter().map(|(digest, _)| *digest).collect();
        let mut missing: HashSet<BlobDigest> =
            self.find_missing(&digests).await?.into_iter().collect();
        let different: HashSet<&BlobDigest> = digests.iter().collect();
        let done = Mutex::new(Uploaded {
            found: count(different.len().saturating_sub(missing.len())),
            ..Uploaded::default()
        });
        progress(*done.lock().unwrap_or_else(PoisonError::into_inner));
        // What is removed here was not there yet: a blob that is given twice is sent once.
        let wanted = blobs
            .into_iter()
            .filter(|(digest, _)| missing.remove(digest))
            .collect();
        futures::stream::iter(self.parcels(wanted))
            .map(Ok)
            .try_for_each_concurrent(self.shared.upload_limit, |parcel| async {
                let (blobs, bytes) = self.send(parcel).await?;
                let now = {
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.sent += blobs;
                    done.bytes += bytes;
                    *done
                };
                progress(now);
                Ok::<(), Error>(())
            })
            .await?;
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts small blobs together, as many as one message may have.
    fn parcels(&self, blobs: Vec<(BlobDigest, Content)>) -> Vec<Parcel> {
        let limit = self.capabilities().batch_bytes.min(BATCH);
        let mut parcels = Vec::new();
        let (mut batch, mut size) = (Vec::new(), 0);
        for (digest, content) in blobs {
            let cost = digest.size.saturating_add(FRAME);
            if digest.size > SMALL || cost > limit {
                parcels.push(Parcel::Stream(digest, content));
                continue;
            }
            if size + cost > limit {
                parcels.push(Parcel::Batch(std::mem::take(&mut batch)));
                size = 0;
            }
            size += cost;
            batch.push((digest, content));
        }
        if !batch.is_empty() {
            parcels.push(Parcel::Batch(batch));
        }
        parcels
    }

    /// Sends one parcel; returns the number of its blobs and their size.
    async fn send(&self, parcel: Parcel) -> Result<(u64, u64), Error> {
        let _permit = self.shared.uploads.acquire().await.map_err(|closed| {
            // Nothing closes it.
            error(ErrorKind::Cancelled, closed.to_string())
        })?;
        match parcel {
            Parcel::Batch(blobs) => {
                let (number, size) = (
                    count(blobs.len()),
                    blobs.iter().map(|(digest, _)| digest.size).sum(),
                );
                self.send_batch(blobs).await?;
                Ok((number, size))
            }
            Parcel::Stream(digest, content) => {
                self.write(&digest, &content).await?;
                Ok((1, digest.size))
            }
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
