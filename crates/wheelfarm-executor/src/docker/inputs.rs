//! Puts files into volumes through the engine's archive API: no bind mounts, so the engine may be elsewhere.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::UploadToContainerOptionsBuilder;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use tar::{EntryType, Header};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, ExecutorError};
use wheelfarm_store::Store;
use wheelfarm_types::Digest;

use crate::docker::error::engine;
use crate::docker::scope::Scope;
use crate::error::{Result, cancelled, store};
use crate::input_file::{self, Content, InputFile, MODIFIED, bad_path, directories};

/// Where the filler container sees the volume.
const FILL_DIR: &str = "/wheelfarm-fill";
const BLOCK: u64 = 512;

/// The end of an archive.
const END: [u8; 1024] = [0; 1024];

/// What a volume is filled with.
pub(crate) enum Filling {
    Files(Vec<InputFile>),
    /// What is in the stored tar file, which may be compressed with gzip.
    Tree(Digest),
}

/// Makes a volume that holds the action's inputs, and `more`.
pub(crate) async fn input_volume(
    scope: &mut Scope,
    action: &Action,
    more: Vec<InputFile>,
    cancel: &CancellationToken,
) -> Result<String> {
    let files = input_file::of_action(action, more);
    let volume = scope.volume(HashMap::new()).await?;
    if !files.is_empty() {
        fill(scope, &action.image, &volume, Filling::Files(files), cancel).await?;
    }
    Ok(volume)
}

/// Puts `filling` into `volume`, by way of a container of `image` that is never started.
pub(crate) async fn fill(
    scope: &mut Scope,
    image: &str,
    volume: &str,
    filling: Filling,
    cancel: &CancellationToken,
) -> Result<()> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["/bin/sh".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            mounts: Some(vec![volume_mount(volume, FILL_DIR, false)]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let filler = scope.container(body).await?;
    match filling {
        Filling::Files(files) => upload(scope, &filler, FILL_DIR, files, cancel).await?,
        Filling::Tree(digest) => upload_tree(scope, &filler, &digest, cancel).await?,
    }
    scope.remove_container(&filler).await;
    Ok(())
}

/// Puts `files` into the directory `target` of a container.
pub(crate) async fn upload(
    scope: &Scope,
    container: &str,
    target: &str,
    files: Vec<InputFile>,
    cancel: &CancellationToken,
) -> Result<()> {
    let failure = Failure::default();
    let archive = archive(scope.shared.store.clone(), files, failure.clone())?;
    let options = UploadToContainerOptionsBuilder::new().path(target).build();
    let upload = scope.shared.transfer.upload_to_container(
        container,
        Some(options),
        bollard::body_try_stream(archive),
    );
    let uploaded = cancel
        .run_until_cancelled(upload)
        .await
        .ok_or_else(|| cancelled(&scope.action))?;
    // The store's own error says more than "the stream broke off".
    if let Some(failure) = failure.take() {
        return Err(failure);
    }
    uploaded.map_err(engine(format!("take the inputs of `{}`", scope.action)))
}

/// Unpacks a stored tar file where a filler sees its volume.
async fn upload_tree(
    scope: &Scope,
    filler: &str,
    digest: &Digest,
    cancel: &CancellationToken,
) -> Result<()> {
    let failure = Failure::default();
    let whole = scope.shared.store.whole(digest).await;
    let whole = whole.map_err(|source| store(&source))?;
    let told = failure.clone();
    let bytes = whole
        .into_stream()
        .map_err(move |source| told.told(store(&source)));
    let options = UploadToContainerOptionsBuilder::new()
        .path(FILL_DIR)
        .build();
    let upload = scope.shared.transfer.upload_to_container(
        filler,
        Some(options),
        bollard::body_try_stream(bytes),
    );
    let uploaded = cancel.run_until_cancelled(upload).await;
    let uploaded = uploaded.ok_or_else(|| cancelled(&scope.action))?;
    if let Some(failure) = failure.take() {
        return Err(failure);
    }
    uploaded.map_err(engine(format!("unpack {digest} for `{}`", scope.action)))
}

/// A mount of a volume that hides nothing: what the image has at `target` is not copied into it.
pub(crate) fn volume_mount(volume: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

/// Carries an error out of a stream whose own error type cannot.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<ExecutorError>>>);

impl Failure {
    /// Keeps `error`, and returns what the stream is ended with.
    fn told(&self, error: ExecutorError) -> io::Error {
        let text = error.message.clone();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other(text)
    }

    fn take(&self) -> Option<ExecutorError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A tar stream of `files`, of which stored ones are verified as they go: one that is damaged ends it.
fn archive(
    store: Store,
    files: Vec<InputFile>,
    failure: Failure,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    let mut start = Vec::new();
    for directory in directories(&files)? {
        start.extend(header(&directory, EntryType::Directory, 0, 0o755)?);
    }
    // Names are checked before anything is sent.
    for file in &files {
        header(&file.path, EntryType::Regular, 0, 0o644)?;
    }
    let bodies = stream::iter(files).then(move |file| {
        let (store, failure) = (store.clone(), failure.clone());
        async move {
            match entry(&store, file).await {
                Ok(chunks) => chunks.map_err(move |source| failure.told(source)).boxed(),
                Err(source) => stream::iter([Err(failure.told(source))]).boxed(),
            }
        }
    });
    let end = Bytes::from_static(&END);
    Ok(stream::iter([Ok(Bytes::from(start))])
        .chain(bodies.flatten())
        .chain(stream::iter([Ok(end)])))
}

/// A file as the archive has it: header, bytes, and zeros up to the next block.
async fn entry(from: &Store, file: InputFile) -> Result<BoxStream<'static, Result<Bytes>>> {
    let (size, bytes) = match file.content {
        Content::Given(bytes) => (bytes.len() as u64, stream::iter([Ok(bytes)]).boxed()),
        Content::Stored(digest) => {
            let whole = from.whole(&digest).await.map_err(|source| store(&source))?;
            let size = whole.size();
            let bytes = whole.into_stream().map_err(|source| store(&source));
            (size, bytes.boxed())
        }
    };
    let mode = if file.executable { 0o755 } else { 0o644 };
    let header = Bytes::from(header(&file.path, EntryType::Regular, size, mode)?);
    let padding = (BLOCK - size % BLOCK) % BLOCK;
    let padding = Bytes::from(vec![0; usize::try_from(padding).unwrap_or_default()]);
    let around = |bytes| stream::iter([Ok(bytes)]);
    Ok(around(header).chain(bytes).chain(around(padding)).boxed())
}

/// The bytes before an entry's content.
fn header(path: &str, kind: EntryType, size: u64, mode: u32) -> Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(MODIFIED);
    header.set_uid(0);
    header.set_gid(0);
    let mut builder = tar::Builder::new(Vec::new());
    // Refuses absolute paths and those with `..`.
    builder
        .append_data(&mut header, path, io::empty())
        .map_err(|source| bad_path(path, &source.to_string()))?;
    let mut bytes = builder
        .into_inner()
        .map_err(|source| bad_path(path, &source.to_string()))?;
    // Without the end of the archive.
    bytes.truncate(bytes.len().saturating_sub(END.len()));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use wheelfarm_build::action::ExecutorErrorKind;

    use super::*;

    async fn packed(paths: &[&str], store: &Store) -> Result<Vec<u8>> {
        let digest = store.put("hello".into()).await.unwrap();
        let files = paths
            .iter()
            .map(|path| InputFile {
                path: (*path).to_owned(),
                content: Content::Stored(digest),
                executable: true,
            })
            .collect();
        let failure = Failure::default();
        let stream = archive(store.clone(), files, failure)?;
        Ok(stream.try_collect::<Vec<_>>().await.unwrap().concat())
    }

    #[tokio::test]
    async fn the_archive_holds_directories_and_files() {
        let store = Store::open("memory:").await.unwrap();
        let long = format!("b/{}/x", "n".repeat(150));
        let bytes = packed(&["a/f", &long], &store).await.unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            io::Read::read_to_string(&mut entry, &mut text).unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            entries.push((path, text, entry.header().mode().unwrap()));
        }
        assert_eq!(entries.len(), 5);
        assert_eq!(entries[0], ("a".to_owned(), String::new(), 0o755));
        assert_eq!(entries[3], ("a/f".to_owned(), "hello".to_owned(), 0o755));
        assert_eq!(entries[4].0, long);
    }

    #[tokio::test]
    async fn paths_that_lead_elsewhere_are_refused() {
        let store = Store::open("memory:").await.unwrap();
        for path in ["/etc/passwd", "../x", "a/../../x", ""] {
            assert!(packed(&[path], &store).await.is_err(), "{path}");
        }
        assert!(packed(&["a", "a"], &store).await.is_err());
    }

    #[tokio::test]
    async fn a_missing_input_is_the_stores_error() {
        let failure = Failure::default();
        let files = vec![InputFile {
            path: "x".to_owned(),
            content: Content::Stored(Digest::of("absent")),
            executable: false,
        }];
        let store = Store::open("memory:").await.unwrap();
        let stream = archive(store, files, failure.clone()).unwrap();
        assert!(stream.try_collect::<Vec<_>>().await.is_err());
        assert_eq!(failure.take().unwrap().kind, ExecutorErrorKind::Store);
    }
}
