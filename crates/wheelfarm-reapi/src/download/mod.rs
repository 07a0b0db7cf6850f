//! Downloads. Nothing is handed out whose digest is not right.

mod batch;
mod stream;

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use crate::client::Client;
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error};

/// Blobs up to this size, in bytes, are asked for together with others.
const SMALL: u64 = 1 << 20;
/// What a blob costs in a message beside its content, in bytes.
const FRAME: u64 = 120;

impl Client {
    /// The content of a blob of at most `limit` bytes.
    pub async fn read(&self, digest: &BlobDigest, limit: u64) -> Result<Bytes, Error> {
        let mut contents = self.read_all(std::slice::from_ref(digest), limit).await?;
        contents.pop().ok_or_else(|| {
            error(
                ErrorKind::Protocol,
                format!("{digest} was read, and is not there"),
            )
        })
    }

    /// The contents of `digests`, in their order, which have at most `limit_total` bytes together. Fails before
    /// anything is fetched if they have more. One that is there twice is fetched once.
    pub async fn read_all(
        &self,
        digests: &[BlobDigest],
        limit_total: u64,
    ) -> Result<Vec<Bytes>, Error> {
        let total = digests
            .iter()
            .fold(0u64, |total, digest| total.saturating_add(digest.size));
        if total > limit_total {
            let what = match digests {
                [digest] => digest.to_string(),
                _ => format!("{} blobs", digests.len()),
            };
            return Err(error(
                ErrorKind::TooLarge,
                format!("{what} would be {total} bytes to read, and {limit_total} are allowed"),
            ));
        }
        let mut contents = HashMap::with_capacity(digests.len());
        let mut small = Vec::new();
        for digest in digests {
            if contents.contains_key(digest) {
                continue;
            }
            let content = if digest.size == 0 {
                verified(digest, Bytes::new())?
            } else if digest.size > SMALL
                || digest.size.saturating_add(FRAME) > self.capabilities().batch_bytes
            {
                self.whole(digest).await?
            } else {
                small.push(*digest);
                Bytes::new()
            };
            contents.insert(*digest, content);
        }
        for batch in self.batches(&small) {
            for (digest, content) in self.read_batch(batch).await? {
                contents.insert(digest, content);
            }
        }
        // The map has all of them; cloning shares the bytes.
        Ok(digests
            .iter()
            .map(|digest| contents.get(digest).cloned().unwrap_or_default())
            .collect())
    }

    /// A large blob in memory. Its size was looked at.
    async fn whole(&self, digest: &BlobDigest) -> Result<Bytes, Error> {
        let mut content = BytesMut::with_capacity(usize::try_from(digest.size).unwrap_or(0));
        let mut stream = self.stream(digest);
        while let Some(chunk) = stream.try_next().await? {
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }

    /// As many of `digests` as go into one message, and again.
    fn batches<'a>(&self, digests: &'a [BlobDigest]) -> Vec<&'a [BlobDigest]> {
        let limit = self.capabilities().batch_bytes;
        let mut size = 0u64;
        let (mut batches, mut rest, mut length) = (Vec::new(), digests, 0);
        for digest in digests {
            let cost = digest.size + FRAME;
            if size + cost > limit && length > 0 {
                let (batch, after) = rest.split_at(length);
                batches.push(batch);
                (rest, length, size) = (after, 0, 0);
            }
            length += 1;
            size += cost;
        }
        if !rest.is_empty() {
            batches.push(rest);
        }
        batches
    }
}

/// `content`, if it is what `digest` says.
fn verified(digest: &BlobDigest, content: Bytes) -> Result<Bytes, Error> {
    if BlobDigest::of(&content) == *digest {
        Ok(content)
    } else {
        Err(corrupt(digest))
    }
}

fn corrupt(digest: &BlobDigest) -> Error {
    crate::error::hinted(
        ErrorKind::Corrupt,
        format!("the server sent other content than that of {digest}"),
        "Its storage, or something between it and here, is damaged: nothing of it was used.",
    )
}

fn missing(digest: &BlobDigest, address: &str) -> Error {
    crate::error::hinted(
        ErrorKind::MissingBlobs(vec![*digest]),
        format!("{address} has not, or no longer, {digest}"),
        "It may have expired: what made it has to be done again.",
    )
}
