//! Our store as a source of what is sent to a cluster's storage.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use wheelfarm_reapi::{BlobDigest, Source};
use wheelfarm_store::Store;

/// Blobs of the store, verified as they go.
#[derive(Debug)]
pub(super) struct Stored(pub(super) Store);

impl Source for Stored {
    fn open(
        &self,
        digest: &BlobDigest,
        offset: u64,
    ) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>> {
        let hash = digest.hash;
        async move {
            // From the beginning, since a part of a blob cannot be verified.
            let whole = self.0.whole(&hash).await.map_err(io::Error::other)?;
            let chunks = whole.into_stream().map_err(io::Error::other);
            let mut skip = offset;
            let rest = chunks.try_filter_map(move |mut chunk| {
                let before = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
                skip -= before as u64;
                let rest = chunk.split_off(before);
                async move { Ok((!rest.is_empty()).then_some(rest)) }
            });
            Ok(rest.boxed())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blob_is_read_from_any_offset() {
        let store = Store::open("memory:").await.unwrap();
        let hash = store.put("0123456789".into()).await.unwrap();
        let digest = BlobDigest { hash, size: 10 };
        let stored = Stored(store);
        for (offset, rest) in [(0, "0123456789"), (4, "456789"), (10, "")] {
            let stream = stored.open(&digest, offset).await.unwrap();
            let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
            assert_eq!(chunks.concat(), rest.as_bytes());
        }
    }
}
