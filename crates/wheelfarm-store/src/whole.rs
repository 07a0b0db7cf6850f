//! Whole blobs of any size, which are never complete unless they are what their digest says.

use std::io::{self, Read, Seek};

use bytes::Bytes;
use fs_err::File;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetResult, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use wheelfarm_types::{Digest, Hasher};

use crate::store::blob_path;
use crate::{Store, StoreError, StoreErrorKind};

/// Bytes that are read from a file at once.
const CHUNK: usize = 1 << 20;

/// A blob that is read from its beginning to its end.
pub struct Whole {
    size: u64,
    chunks: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Whole({} bytes)", self.size)
    }
}

impl Whole {
    /// How many bytes the store has under the digest. Who was told another number knows by it that the blob is damaged.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes, in chunks. The last one only comes once all of them have the blob's digest; else the stream ends with
    /// [`StoreErrorKind::Corrupt`].
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, StoreError>> {
        self.chunks
    }
}

impl Store {
    /// The bytes of `digest` in a stream that verifies them: see [`Whole::into_stream`].
    pub async fn whole(&self, digest: &Digest) -> Result<Whole, StoreError> {
        let got = self.get_blob(digest).await?;
        Ok(Whole {
            size: got.meta.size,
            chunks: self.verified(*digest, got),
        })
    }

    /// A file with the bytes of `digest`, verified, at its beginning: the store's own, if it is a directory or has the
    /// blob in its cache, else a copy that is gone when it is closed.
    pub async fn file(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = blob_path(digest);
        if let Some((file, _)) = self.open_file(digest)? {
            let file = File::from_parts(file, self.locate(digest));
            let (file, found) = blocking(&path, move || hashed(file)).await?;
            if found == *digest {
                return Ok(file);
            }
            // It may be the copy on this machine that is damaged.
            if !self.forget_copy(&path) {
                return Err(damaged(&path, &found));
            }
        }
        let failed = |error: io::Error| StoreError::from_io(&error, path.as_ref());
        let spool = self.spool()?.into_file();
        let mut copy = tokio::fs::File::from_std(spool);
        let mut chunks = self.whole(digest).await?.into_stream();
        while let Some(chunk) = chunks.try_next().await? {
            copy.write_all(&chunk).await.map_err(failed)?;
        }
        copy.flush().await.map_err(failed)?;
        let mut copy = copy.into_std().await;
        copy.rewind().map_err(failed)?;
        Ok(File::from_parts(copy, self.locate(digest)))
    }

    /// Asks for the bytes of `digest`, in the trash too.
    pub(crate) async fn get_blob(&self, digest: &Digest) -> Result<GetResult, StoreError> {
        let path = blob_path(digest);
        let mut got = self.objects().get(&path).await;
        if matches!(got, Err(Error::NotFound { .. })) && self.take_back(digest).await? {
            got = self.objects().get(&path).await;
        }
        got.map_err(|error| StoreError::from_object_store(&error, path.as_ref()))
    }

    /// The bytes of the object at `path`, which need not be a blob.
    pub(crate) async fn chunks(
        &self,
        path: &Path,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let path = path.clone();
        let got = self.objects().get(&path).await;
        let got = got.map_err(|error| StoreError::from_object_store(&error, path.as_ref()))?;
        let failed = move |error| StoreError::from_object_store(&error, path.as_ref());
        Ok(got.into_stream().map_err(failed).boxed())
    }

    /// The bytes of an answer that has all of `digest`, of which the last ones are held back until the others are known
    /// to be right.
    pub(crate) fn verified(
        &self,
        digest: Digest,
        got: GetResult,
    ) -> BoxStream<'static, Result<Bytes, StoreError>> {
        let reading = Reading {
            chunks: got.into_stream(),
            hasher: Hasher::default(),
            held: None,
            digest,
            store: self.clone(),
        };
        futures::stream::try_unfold(Some(reading), async |reading| match reading {
            Some(reading) => reading.next().await,
            None => Ok(None),
        })
        .boxed()
    }
}

/// A blob that is being read.
struct Reading {
    chunks: BoxStream<'static, object_store::Result<Bytes>>,
    hasher: Hasher,
    /// Read, and not handed out yet.
    held: Option<Bytes>,
    digest: Digest,
    store: Store,
}

impl Reading {
    /// The next chunk, and what comes after it, if that was not the last.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>, StoreError> {
        let path = blob_path(&self.digest);
        let failed = |error| StoreError::from_object_store(&error, path.as_ref());
        while let Some(chunk) = self.chunks.try_next().await.map_err(failed)? {
            if chunk.is_empty() {
                continue;
            }
            self.hasher.update(&chunk);
            if let Some(before) = self.held.replace(chunk) {
                return Ok(Some((before, Some(self))));
            }
        }
        let found = self.hasher.finish();
        if found != self.digest {
            // If it was a copy on this machine, the next reader gets the store's own.
            self.store.forget_copy(&path);
            return Err(damaged(&path, &found));
        }
        Ok(self.held.map(|last| (last, None)))
    }
}

/// The error for a blob whose bytes have the digest `found`.
pub(crate) fn damaged(path: &Path, found: &Digest) -> StoreError {
    let detail =
        format!("its bytes have the digest {found}; `wheelfarm store verify --repair` removes it");
    StoreError::new(StoreErrorKind::Corrupt, path.as_ref(), detail)
}

/// The digest of what is left to read.
pub fn digest_of(reader: &mut impl Read) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = reader.read(&mut chunk)?;
        let bytes = chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(hasher.finish());
        }
        hasher.update(bytes);
    }
}

/// Reads a file to its end, and goes back to its beginning.
fn hashed(mut file: File) -> io::Result<(File, Digest)> {
    let digest = digest_of(&mut file)?;
    file.rewind()?;
    Ok((file, digest))
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)
        .flatten()
        .map_err(|error| StoreError::from_io(&error, path.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Larger than any chunk.
    const SIZE: usize = 3_000_000;

    /// What may have become of a blob.
    fn damages(whole: &[u8]) -> [(&'static str, Vec<u8>); 4] {
        let mut changed = whole.to_vec();
        if let Some(byte) = changed.last_mut() {
            *byte ^= 1;
        }
        let mut longer = whole.to_vec();
        longer.extend(vec![7; 100_000]);
        [
            ("changed", changed),
            ("cut short", whole[..SIZE - 1].to_vec()),
            ("empty", Vec::new()),
            ("longer", longer),
        ]
    }

    async fn overwrite(store: &Store, digest: &Digest, bytes: Vec<u8>) {
        let path = blob_path(digest);
        store.objects().put(&path, bytes.into()).await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_blob_never_comes_complete() {
        let folder = tempfile::tempdir().unwrap();
        for address in [folder.path().to_str().unwrap(), "memory:"] {
            let store = Store::open(address).await.unwrap();
            let right: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
            let digest = store.put(right.clone().into()).await.unwrap();
            for (what, bytes) in damages(&right) {
                overwrite(&store, &digest, bytes.clone()).await;
                let whole = store.whole(&digest).await.unwrap();
                assert_eq!(whole.size(), bytes.len() as u64);
                let mut chunks = whole.into_stream();
                let mut came = 0;
                let error = loop {
                    match chunks.next().await.unwrap() {
                        Ok(chunk) => came += chunk.len(),
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{what}");
                assert!(came < bytes.len().max(1), "{what}: {came}");
                assert!(chunks.next().await.is_none());
                let file = store.file(&digest).await.unwrap_err();
                assert_eq!(file.kind(), StoreErrorKind::Corrupt, "{what}");
                let held = store.get(&digest).await.unwrap_err();
                assert_eq!(held.kind(), StoreErrorKind::Corrupt, "{what}");
                // A range that is all of it is no way around.
                let all = store.stream(&digest, 0..bytes.len() as u64).await.unwrap();
                let all: Result<Vec<Bytes>, _> = all.try_collect().await;
                if !bytes.is_empty() {
                    assert_eq!(all.unwrap_err().kind(), StoreErrorKind::Corrupt, "{what}");
                }
            }
            overwrite(&store, &digest, right.clone()).await;
            let chunks: Vec<Bytes> = store
                .whole(&digest)
                .await
                .unwrap()
                .into_stream()
                .try_collect()
                .await
                .unwrap();
            assert!(chunks.concat() == right);
            let mut read = Vec::new();
            store
                .file(&digest)
                .await
                .unwrap()
                .read_to_end(&mut read)
                .unwrap();
            assert!(read == right);
        }
    }

    #[tokio::test]
    async fn what_is_empty_or_not_there() {
        let store = Store::open("memory:").await.unwrap();
        let empty = store.put(Bytes::new()).await.unwrap();
        let mut chunks = store.whole(&empty).await.unwrap().into_stream();
        assert!(chunks.next().await.is_none());
        let absent = Digest::of("absent");
        let whole = store.whole(&absent).await.unwrap_err();
        let file = store.file(&absent).await.unwrap_err();
        assert_eq!(
            (whole.kind(), file.kind()),
            (StoreErrorKind::NotFound, StoreErrorKind::NotFound)
        );
    }

    #[tokio::test]
    async fn more_than_is_held_in_memory_is_an_error() {
        let store = Store::open("memory:").await.unwrap();
        let digest = store.put("twelve bytes".into()).await.unwrap();
        assert!(store.get_up_to(&digest, 12).await.is_ok());
        let error = store.get_up_to(&digest, 11).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::TooLarge);
        assert!(error.to_string().contains("12 bytes"), "{error}");
    }
}
