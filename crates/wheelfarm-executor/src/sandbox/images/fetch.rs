//! Brings what images consist of from a registry into the store, where every blob is verified and stays: a pull that was
//! cut off goes on from there, and another machine with the same store needs no registry.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio::io::AsyncWriteExt as _;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind, LogSink};
use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::{Digest, Hasher};

use super::manifest::Blob;
use super::registry::{Registry, chain};
use crate::download::Downloaded;
use crate::error::{Result, error, hinted, io};

/// Layers that are fetched at the same time.
const AT_ONCE: usize = 3;
/// How often a connection may break within a layer.
const TRIES: u32 = 3;
/// Manifests and configurations are not larger.
const MOST_TEXT: u64 = 8 << 20;

/// Where the parts of an image come from, and where they go.
pub(super) struct Fetch<'a> {
    pub(super) registry: &'a Registry,
    pub(super) store: &'a Store,
    pub(super) progress: &'a LogSink,
}

/// How far a download is.
struct Report<'a> {
    progress: &'a LogSink,
    total: u64,
    done: AtomicU64,
    downloaded: Downloaded,
}

impl Fetch<'_> {
    /// The manifest with `digest`, or what the reference means now; and its digest.
    pub(super) async fn manifest(&self, digest: Option<&Digest>) -> Result<(Bytes, Digest)> {
        if let Some(digest) = digest
            && let Some(bytes) = self.stored(digest).await?
        {
            return Ok((bytes, *digest));
        }
        let (bytes, digest) = self.registry.manifest(digest).await?;
        self.store
            .put(bytes.clone())
            .await
            .map_err(|source| kept(&source))?;
        Ok((bytes, digest))
    }

    /// The bytes of a configuration.
    pub(super) async fn text(&self, blob: &Blob) -> Result<Bytes> {
        if blob.size > MOST_TEXT {
            let reason = format!("its configuration has {} bytes", blob.size);
            return Err(self.registry.useless(&reason));
        }
        self.layers(std::slice::from_ref(blob)).await?;
        let bytes = self.stored(&blob.digest).await?;
        bytes.ok_or_else(|| {
            let message = format!("the store lost {} just after it was put there", blob.digest);
            error(ExecutorErrorKind::Store, message)
        })
    }

    /// Sees to it that the store has `blobs`.
    pub(super) async fn layers(&self, blobs: &[Blob]) -> Result<()> {
        let mut missing: Vec<Blob> = Vec::new();
        for blob in blobs {
            let is_there = self.store.contains(&blob.digest).await;
            // Layers may be equal.
            if !is_there.map_err(|source| kept(&source))? && !missing.contains(blob) {
                missing.push(*blob);
            }
        }
        let report = Report {
            progress: self.progress,
            total: missing.iter().map(|blob| blob.size).sum(),
            done: AtomicU64::new(0),
            downloaded: Downloaded::default(),
        };
        futures::stream::iter(missing)
            .map(|blob| self.layer(blob, &report))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn layer(&self, blob: Blob, report: &Report<'_>) -> Result<()> {
        let failed = "write what a registry gives";
        let spool = self.store.spool().map_err(|source| kept(&source))?;
        let file = spool.reopen().map_err(io(failed))?;
        let mut part = Part {
            file: tokio::fs::File::from_std(file),
            hasher: Hasher::default(),
            length: 0,
        };
        let mut tries = 1;
        while let Err(error) = self.go_on(&blob, &mut part, report).await {
            if tries == TRIES || error.kind != ExecutorErrorKind::RegistryUnavailable {
                return Err(error);
            }
            tries += 1;
        }
        part.file.flush().await.map_err(io(failed))?;
        let found = part.hasher.finish();
        if found != blob.digest {
            return Err(self.registry.lied(&blob.digest, &found));
        }
        let put = self.store.put_spooled(spool, &found).await;
        put.map_err(|source| kept(&source))?;
        Ok(())
    }

    /// Reads what is missing of `blob`, from where `part` ends.
    async fn go_on(&self, blob: &Blob, part: &mut Part, report: &Report<'_>) -> Result<()> {
        let (offset, mut stream) = self.registry.blob(&blob.digest, part.length).await?;
        if offset != part.length {
            report.take_back(part.length);
            part.start_again().await?;
        }
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|source| self.broken(blob, &source))?;
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            part.length = part.length.saturating_add(length);
            if part.length > blob.size {
                let (digest, size) = (blob.digest, blob.size);
                let reason = format!("its part sha256:{digest} has more than {size} bytes");
                return Err(self.registry.useless(&reason));
            }
            part.hasher.update(&chunk);
            let written = part.file.write_all(&chunk).await;
            written.map_err(io("write what a registry gives"))?;
            report.add(length);
        }
        if part.length < blob.size {
            let ended = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(self.broken(blob, &ended));
        }
        Ok(())
    }

    /// The registry stopped in the middle of `blob`; or the client found out that it is something else.
    fn broken(&self, blob: &Blob, source: &std::io::Error) -> ExecutorError {
        let detail = chain(source);
        if detail.contains("Invalid digest") {
            let reason = format!(
                "its part sha256:{} is something else: {detail}",
                blob.digest
            );
            return self.registry.useless(&reason);
        }
        hinted(
            ExecutorErrorKind::RegistryUnavailable,
            format!(
                "the registry broke off in the middle of sha256:{}: {detail}",
                blob.digest
            ),
            "Try again: what is here already is not fetched again.",
        )
    }

    async fn stored(&self, digest: &Digest) -> Result<Option<Bytes>> {
        let is_there = self.store.contains(digest).await;
        if !is_there.map_err(|source| kept(&source))? {
            return Ok(None);
        }
        let bytes = self.store.get_up_to(digest, MOST_TEXT).await;
        bytes.map(Some).map_err(|source| kept(&source))
    }
}

/// What is there of a blob.
struct Part {
    file: tokio::fs::File,
    hasher: Hasher,
    length: u64,
}

impl Part {
    async fn start_again(&mut self) -> Result<()> {
        use tokio::io::AsyncSeekExt as _;
        let failed = "write what a registry gives";
        self.file.set_len(0).await.map_err(io(failed))?;
        self.file.rewind().await.map_err(io(failed))?;
        self.hasher = Hasher::default();
        self.length = 0;
        Ok(())
    }
}

impl Report<'_> {
    fn add(&self, length: u64) {
        let done = self.done.fetch_add(length, Ordering::Relaxed) + length;
        if let Some(line) = self.downloaded.line(done, self.total) {
            (self.progress)(&line);
        }
    }

    fn take_back(&self, length: u64) {
        self.done.fetch_sub(length, Ordering::Relaxed);
    }
}

/// For `map_err`: the store could not keep or give a part of an image.
pub(super) fn kept(source: &StoreError) -> ExecutorError {
    error(
        ExecutorErrorKind::Store,
        format!("the store could not keep or give a part of an image: {source}"),
    )
}
