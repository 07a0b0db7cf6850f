//! Blobs in streams: of any size, never whole in memory.

use std::fs::File;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::{Error, GetOptions, GetRange, ObjectStoreExt, WriteMultipart};
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt;
use wheelfarm_types::Digest;

use crate::store::{blob_path, trash_path};
use crate::{Created, Store, StoreError, StoreErrorKind};

/// Bytes that are read from a spool at once.
const CHUNK: usize = 1 << 20;
/// Where uploads lie until they are whole, in a store that is a directory: on the file system of the blobs.
const INCOMING: &str = "incoming";

impl Store {
    /// A file to write a blob into until its digest is known and it has been checked; gone when dropped.
    pub fn spool(&self) -> Result<NamedTempFile, StoreError> {
        let made = match self.directory() {
            Some(directory) => {
                let directory = directory.join(INCOMING);
                fs_err::create_dir_all(&directory).and_then(|()| NamedTempFile::new_in(directory))
            }
            None => NamedTempFile::new(),
        };
        made.map_err(|error| StoreError::from_io(&error, INCOMING))
    }

    /// Makes a spooled file the blob `digest`, durably. The caller has computed the digest while writing it.
    ///
    /// In a directory the file is renamed, elsewhere it is sent in parts.
    pub async fn put_spooled(
        &self,
        spool: NamedTempFile,
        digest: &Digest,
    ) -> Result<Created, StoreError> {
        let path = blob_path(digest);
        if self.contains(digest).await? {
            return Ok(Created::Existed);
        }
        let Some(directory) = self.directory() else {
            return self.send(spool, digest).await;
        };
        let target = directory.join(path.as_ref());
        let kept = tokio::task::spawn_blocking(move || keep(spool, &target)).await;
        match kept {
            Ok(Ok(created)) => Ok(created),
            Ok(Err(error)) => Err(StoreError::from_io(&error, path.as_ref())),
            Err(error) => Err(StoreError::new(
                StoreErrorKind::Io,
                path.as_ref(),
                error.to_string(),
            )),
        }
    }

    async fn send(&self, spool: NamedTempFile, digest: &Digest) -> Result<Created, StoreError> {
        let path = blob_path(digest);
        let io_error = |error: &io::Error| StoreError::from_io(error, path.as_ref());
        let file = spool.reopen().map_err(|error| io_error(&error))?;
        let mut file = tokio::fs::File::from_std(file);
        let upload = self
            .objects()
            .put_multipart(&path)
            .await
            .map_err(|error| StoreError::from_object_store(&error, path.as_ref()))?;
        let mut upload = WriteMultipart::new(upload);
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file.read(&mut chunk).await;
            match read {
                Ok(0) => break,
                Ok(length) => {
                    upload.write(chunk.get(..length).unwrap_or_default());
                    upload
                        .wait_for_capacity(4)
                        .await
                        .map_err(|error| StoreError::from_object_store(&error, path.as_ref()))?;
                }
                Err(error) => {
                    upload.abort().await.ok();
                    return Err(io_error(&error));
                }
            }
        }
        upload
            .finish()
            .await
            .map_err(|error| StoreError::from_object_store(&error, path.as_ref()))?;
        Ok(Created::New)
    }

    /// The file of `digest` and its size in bytes, if the store is a directory or has it in its cache.
    pub fn open_file(&self, digest: &Digest) -> Result<Option<(File, u64)>, StoreError> {
        let path = blob_path(digest);
        let Some(directory) = self.directory() else {
            let cached = self.cached_file(&path);
            let size = |file: &fs_err::File| Some(file.metadata().ok()?.len());
            return Ok(cached
                .and_then(|file| Some((size(&file)?, file)))
                .map(|(size, file)| (file.into_file(), size)));
        };
        let open = || {
            let place = directory.join(path.as_ref());
            let file = match fs_err::File::open(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // As `take_back` does.
                    let trash = directory.join(trash_path(digest).as_ref());
                    fs_err::rename(trash, &place).map_err(|_| error)?;
                    fs_err::File::open(&place)?
                }
                opened => opened?,
            };
            let size = file.metadata()?.len();
            Ok((file.into_file(), size))
        };
        open()
            .map(Some)
            .map_err(|error: io::Error| StoreError::from_io(&error, path.as_ref()))
    }

    /// The bytes of `digest` in `range`, in chunks. A range that is all of the blob is verified as [`Store::whole`] does
    /// it; no other one can be.
    pub async fn stream(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let path = blob_path(digest);
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let mut got = self.objects().get_opts(&path, options.clone()).await;
        if matches!(got, Err(Error::NotFound { .. })) && self.take_back(digest).await? {
            got = self.objects().get_opts(&path, options).await;
        }
        let got = got.map_err(|error| StoreError::from_object_store(&error, path.as_ref()))?;
        if got.range == (0..got.meta.size) {
            return Ok(self.verified(*digest, got));
        }
        Ok(got
            .into_stream()
            .map_err(move |error| StoreError::from_object_store(&error, path.as_ref()))
            .boxed())
    }
}

/// Moves a spooled file to its place, unless there is one: bytes first, then the name, then the directory.
fn keep(spool: NamedTempFile, target: &std::path::Path) -> io::Result<Created> {
    spool.as_file().sync_all()?;
    let Some(directory) = target.parent() else {
        return Err(io::Error::other("a blob has a directory"));
    };
    fs_err::create_dir_all(directory)?;
    let created = match spool.persist_noclobber(target) {
        Ok(_) => Created::New,
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Created::Existed,
        Err(error) => return Err(error.error),
    };
    fs_err::File::open(directory)?.sync_all()?;
    Ok(created)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn a_spool_becomes_a_blob_that_is_read_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        for address in [dir.path().to_str().unwrap(), "memory:"] {
            let store = Store::open(address).await.unwrap();
            let mut spool = store.spool().unwrap();
            spool.write_all(b"hello, wheel").unwrap();
            let digest = Digest::of("hello, wheel");
            let created = store.put_spooled(spool, &digest).await.unwrap();
            assert_eq!(created, Created::New);
            let pieces = store.stream(&digest, 7..12).await.unwrap();
            let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
            assert_eq!(pieces.concat(), b"wheel");
            let again = store.put_spooled(store.spool().unwrap(), &digest).await;
            assert_eq!(again.unwrap(), Created::Existed);
            assert_eq!(store.get(&digest).await.unwrap(), "hello, wheel");
        }
    }
}
