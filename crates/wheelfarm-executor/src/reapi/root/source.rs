//! Reads the files of a root where they lie.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use fs_err::File;
use fs_err::os::unix::fs::FileExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use wheelfarm_reapi::{BlobDigest, Source};

use super::RootImage;

/// Bytes that are read at once, and held.
const CHUNK: u64 = 256 << 10;

impl Source for RootImage {
    fn open(
        &self,
        digest: &BlobDigest,
        offset: u64,
    ) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>> {
        let place = self.offsets.get(digest).copied();
        let missing = format!("{digest} is no file of {}", self.tree.root);
        let left = digest.size.checked_sub(offset);
        async move {
            let missing = || io::Error::new(io::ErrorKind::NotFound, missing);
            let (place, left) = place.zip(left).ok_or_else(missing)?;
            let file = Arc::clone(&self.file);
            Ok(read(file, place.saturating_add(offset), left))
        }
        .boxed()
    }
}

/// `left` bytes of `file` from `position` on.
fn read(file: Arc<File>, position: u64, left: u64) -> BoxStream<'static, io::Result<Bytes>> {
    stream::try_unfold((position, left), move |(position, left)| {
        let file = Arc::clone(&file);
        async move {
            if left == 0 {
                return Ok(None);
            }
            let size = left.min(CHUNK);
            let chunk = tokio::task::spawn_blocking(move || chunk(&file, position, size));
            let chunk = chunk.await.map_err(io::Error::other)??;
            Ok(Some((chunk, (position + size, left - size))))
        }
    })
    .boxed()
}

fn chunk(file: &File, position: u64, size: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        let read = file.read_at(rest, position + filled as u64)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
    }
    Ok(bytes.into())
}
