//! A directory in front of a remote store.
//!
//! Blobs, entries of logs and series, and snapshots never change: what was read once can be read again from the
//! directory. Everything else goes to the remote store: whether something is there, listings, what is created, and
//! records, which a collection of garbage removes. The rest of the program does not know of it.
//!
//! A file in it is whole or not there: it is written aside, synchronised and renamed, a blob only if it has its digest. When it holds more than its
//! limit, what was not used for the longest time goes. Several processes can use one directory.

use std::fmt;
use std::fs::{File, FileTimes};
use std::io::{self, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use tempfile::NamedTempFile;
use wheelfarm_types::{Digest, Hasher};

use crate::carry::blob_digest;
use crate::walk::files_below;

/// Where files lie until they are whole.
const PARTS: &str = "parts";
/// What never changes, by how its name begins.
const CACHED: [&str; 4] = ["blobs/", "logs/", "series/", "snapshots/"];
/// Of the limit, this part is left after removing what was not used.
const KEPT: f64 = 0.8;
/// It is looked for what can go after this part of the limit was written.
const LOOK_AFTER: u64 = 16;

/// A remote store with a directory in front of it.
#[derive(Debug)]
pub(crate) struct Cached {
    remote: Arc<dyn ObjectStore>,
    directory: Arc<Directory>,
    local: LocalFileSystem,
}

/// The directory and its bound.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    limit: u64,
    /// Bytes written since it was last looked for what can go.
    written: AtomicU64,
}

impl Cached {
    /// Puts `directory`, made if missing, in front of `remote`.
    pub(crate) fn open(
        remote: Arc<dyn ObjectStore>,
        directory: &FsPath,
        limit: u64,
    ) -> io::Result<Self> {
        fs_err::create_dir_all(directory.join(PARTS))?;
        let directory = Arc::new(Directory {
            path: fs_err::canonicalize(directory)?,
            limit,
            // So that what other runs have left is looked at soon.
            written: AtomicU64::new(limit / LOOK_AFTER),
        });
        let local = LocalFileSystem::new_with_prefix(&directory.path)?;
        Ok(Self {
            remote,
            directory,
            local,
        })
    }

    /// Keeps a file beside its stream, if the stream is all of it.
    fn keeping(&self, location: &Path, got: GetResult) -> GetResult {
        if got.range != (0..got.meta.size) || got.meta.size > self.directory.limit / 2 {
            return got;
        }
        let Ok(part) = self.directory.part() else {
            return got; // A full disk costs speed, not the answer.
        };
        let GetResult {
            payload,
            meta,
            range,
            attributes,
            extensions,
        } = got;
        let chunks = match payload {
            GetResultPayload::Stream(chunks) => chunks,
            payload @ GetResultPayload::File(..) => {
                return GetResult {
                    payload,
                    meta,
                    range,
                    attributes,
                    extensions,
                };
            }
        };
        let tee = Tee {
            part: Some(part),
            missing: meta.size,
            checked: blob_digest(location.as_ref()).map(|digest| (digest, Hasher::default())),
            directory: Arc::clone(&self.directory),
            name: location.clone(),
        };
        let chunks = futures::stream::unfold((chunks, tee), |(mut chunks, mut tee)| async move {
            let chunk = chunks.next().await;
            match &chunk {
                Some(Ok(bytes)) => tee.write(bytes).await,
                Some(Err(_)) => tee.part = None,
                None => {}
            }
            chunk.map(|chunk| (chunk, (chunks, tee)))
        });
        GetResult {
            payload: GetResultPayload::Stream(chunks.boxed()),
            meta,
            range,
            attributes,
            extensions,
        }
    }
}

/// The file that a stream is written to while it is read.
struct Tee {
    part: Option<NamedTempFile>,
    missing: u64,
    /// Of a blob: which digest it must have, and that of what came so far. What is damaged is not kept.
    checked: Option<(Digest, Hasher)>,
    directory: Arc<Directory>,
    name: Path,
}

impl Tee {
    async fn write(&mut self, bytes: &Bytes) {
        let Some(mut part) = self.part.take() else {
            return;
        };
        let Some(missing) = self.missing.checked_sub(bytes.len() as u64) else {
            return;
        };
        self.missing = missing;
        if let Some((_, hasher)) = &mut self.checked {
            hasher.update(bytes);
        }
        if missing == 0
            && let Some((digest, hasher)) = self.checked.take()
            && hasher.finish() != digest
        {
            return;
        }
        let (bytes, directory, name) = (
            bytes.clone(),
            Arc::clone(&self.directory),
            self.name.clone(),
        );
        let written = tokio::task::spawn_blocking(move || -> io::Result<Option<NamedTempFile>> {
            part.write_all(&bytes)?;
            if missing > 0 {
                return Ok(Some(part));
            }
            directory.keep(part, &name)?;
            Ok(None)
        });
        // What cannot be kept is read from the remote store again.
        self.part = written.await.ok().and_then(Result::ok).flatten();
    }
}

impl Directory {
    fn part(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.path.join(PARTS))
    }

    fn keep(&self, part: NamedTempFile, name: &Path) -> io::Result<()> {
        part.as_file().sync_data()?;
        let size = part.as_file().metadata()?.len();
        let target = self.path.join(name.as_ref());
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent)?;
        }
        part.persist(target).map_err(|error| error.error)?;
        let written = self.written.fetch_add(size, Ordering::Relaxed) + size;
        if written > self.limit / LOOK_AFTER {
            self.written.store(0, Ordering::Relaxed);
            self.sweep()?;
        }
        Ok(())
    }

    /// Removes what was not used for the longest time, if there is too much.
    fn sweep(&self) -> io::Result<()> {
        let mut files = Vec::new();
        files_below(&self.path, |path, metadata| {
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((used, metadata.len(), path));
            Ok(())
        })?;
        let mut size: u64 = files.iter().map(|(_, size, _)| size).sum();
        if size <= self.limit {
            return Ok(());
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "about so many bytes"
        )]
        let kept = (self.limit as f64 * KEPT) as u64;
        files.sort();
        for (_, bytes, path) in files {
            if size <= kept {
                break;
            }
            if fs_err::remove_file(path).is_ok() {
                size -= bytes;
            }
        }
        Ok(())
    }
}

/// Notes that a file of a cache is used now. The time of its last change is never its content's: that has none.
pub(crate) fn mark_used(file: &File) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the order of removal in a cache; nothing that is made depends on it"
    )]
    let now = SystemTime::now();
    file.set_times(FileTimes::new().set_modified(now)).ok();
}

fn is_cached(location: &Path) -> bool {
    CACHED
        .iter()
        .any(|prefix| location.as_ref().starts_with(prefix))
}

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} behind {}",
            self.remote,
            self.directory.path.display()
        )
    }
}

#[async_trait]
impl ObjectStore for Cached {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.remote.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.remote.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let plain = options.if_match.is_none()
            && options.if_none_match.is_none()
            && options.if_modified_since.is_none()
            && options.if_unmodified_since.is_none()
            && options.version.is_none();
        if options.head || !plain || !is_cached(location) {
            return self.remote.get_opts(location, options).await;
        }
        // A cache that cannot be read is as good as none.
        if let Ok(got) = self.local.get_opts(location, options.clone()).await {
            if let GetResultPayload::File(file, _) = &got.payload {
                mark_used(file);
            }
            return Ok(got);
        }
        let whole = matches!(
            options.range,
            None | Some(GetRange::Offset(0) | GetRange::Bounded(std::ops::Range { start: 0, .. }))
        );
        let got = self.remote.get_opts(location, options).await?;
        Ok(if whole {
            self.keeping(location, got)
        } else {
            got
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let directory = self.directory.path.clone();
        let locations = locations.inspect(move |location| {
            if let Ok(location) = location {
                // Mostly it is not there.
                fs_err::remove_file(directory.join(location.as_ref())).ok();
            }
        });
        self.remote.delete_stream(locations.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.remote.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.remote.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.remote.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.remote.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.remote.rename_opts(from, to, options).await
    }
}
