//! The bytes of a blob on their way to a client: never whole in memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;

use crate::files::{Blob, kept};
use crate::server::{FileBody, Outbox};
use crate::{App, Problem};

/// Bytes that are read from a file at once.
const CHUNK: u64 = 128 << 10;

/// Whether the bytes of `blob` are there and as many as were published.
pub(super) async fn check(app: &App, blob: &Blob) -> Result<(), Problem> {
    if app.kept.small(&blob.digest).is_some() || app.kept.open(&blob.digest).is_some() {
        return Ok(());
    }
    let store = app.registry.store();
    let size = match store.open_file(&blob.digest)? {
        Some((_, size)) => size,
        None => store.size(&blob.digest).await?,
    };
    check_size(blob, size)
}

/// The bytes of `blob` in `range`, which it has; by way of `outbox`, if the connection has one.
pub(super) async fn open(
    app: &App,
    blob: &Blob,
    range: Range<u64>,
    outbox: Option<&Arc<Outbox>>,
) -> Result<Body, Problem> {
    if blob.size <= kept::SMALL {
        return Ok(Body::from(part(&small(app, blob).await?, &range)));
    }
    if let Some(file) = file(app, blob)? {
        return Ok(match outbox {
            Some(outbox) => Body::new(FileBody::new(outbox.clone(), file, range)),
            None => Body::from_stream(read(file, range)),
        });
    }
    let store = app.registry.store();
    if range != (0..blob.size) {
        let part = store.stream(&blob.digest, range).await?;
        return Ok(Body::from_stream(part));
    }
    let whole = store.whole(&blob.digest).await?;
    check_size(blob, whole.size())?;
    Ok(Body::from_stream(whole.into_stream()))
}

/// The bytes of a small blob, kept or verified now.
async fn small(app: &App, blob: &Blob) -> Result<Bytes, Problem> {
    if let Some(bytes) = app.kept.small(&blob.digest) {
        return Ok(bytes);
    }
    let bytes = app.registry.store().get(&blob.digest).await?;
    check_size(blob, bytes.len() as u64)?;
    app.kept.keep_small(blob.digest, bytes.clone());
    Ok(bytes)
}

fn part(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let end = |bound: u64| usize::try_from(bound).map_or(bytes.len(), |it| it.min(bytes.len()));
    bytes.slice(end(range.start)..end(range.end))
}

/// The file of `blob`, if the store is a directory.
fn file(app: &App, blob: &Blob) -> Result<Option<Arc<File>>, Problem> {
    if let Some(file) = app.kept.open(&blob.digest) {
        return Ok(Some(file));
    }
    let Some((file, size)) = app.registry.store().open_file(&blob.digest)? else {
        return Ok(None);
    };
    check_size(blob, size)?;
    let file = Arc::new(file);
    app.kept.keep_open(blob.digest, file.clone());
    Ok(Some(file))
}

fn check_size(blob: &Blob, size: u64) -> Result<(), Problem> {
    if size == blob.size {
        return Ok(());
    }
    tracing::error!(
        blob = %blob.digest, published = blob.size, found = size,
        "a published file is not as long as it was; `wheelfarm store verify` says more"
    );
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the file is damaged in the store",
    ))
}

/// Reads a range of a file chunk by chunk, where blocking is allowed. A file that has become shorter is an error, so
/// that the client sees that something is missing.
fn read(
    file: Arc<File>,
    range: Range<u64>,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures::stream::try_unfold((file, range), async |(file, range)| {
        if range.is_empty() {
            return Ok(None);
        }
        let end = range.end.min(range.start.saturating_add(CHUNK));
        let (file, chunk) = tokio::task::spawn_blocking(move || {
            let length = usize::try_from(end - range.start).map_err(io::Error::other)?;
            let mut chunk = vec![0; length];
            file.read_exact_at(&mut chunk, range.start)?;
            Ok::<_, io::Error>((file, Bytes::from(chunk)))
        })
        .await
        .map_err(io::Error::other)??;
        Ok(Some((chunk, (file, end..range.end))))
    })
}
