//! What an image holds that decides whether wheels run on it, looked at without running anything of it: a container is
//! created, never started, its file system read, and the container removed.

mod unpack;
mod wanted;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bollard::models::{ContainerCreateBody, HostConfig};
use bytes::{Buf, Bytes};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_types::Arch;

use crate::docker::error::engine;
use crate::docker::pull::pull;
use crate::docker::scope::Scope;
use crate::docker::{Docker, Shared};
use crate::error::{Result, cancelled, hinted};

/// Chunks of the file system that wait to be unpacked.
const AHEAD: usize = 16;

/// An image whose libraries and Pythons were unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageContents {
    /// What the engine knows it by.
    pub id: String,
    /// The architecture, as images name it: `amd64`.
    pub architecture: String,
    /// The environment of its programs: `NAME=value`.
    pub environment: Vec<String>,
    /// Programs that may be Pythons: absolute paths, sorted.
    pub pythons: Vec<String>,
}

impl Docker {
    /// Unpacks into `directory`, which is there and empty, what of the image `reference` a loader reads: shared libraries
    /// and their configuration, the programs that are called like Pythons, and `programs`. An image that the engine
    /// does not have is pulled for `arch`.
    ///
    /// The image is hostile: nothing of it is run, nothing is written outside of `directory`, and sizes are bounded.
    pub async fn image_contents(
        &self,
        reference: &str,
        arch: Arch,
        programs: &[PathBuf],
        directory: &Path,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageContents> {
        let (reference, programs) = (reference.to_owned(), programs.to_vec());
        let directory = directory.to_owned();
        self.supervise(cancel, |shared, cancel| async move {
            let mut scope = Scope::new(shared, format!("look into {reference}"));
            let look = look(&mut scope, &reference, arch, programs, directory, progress);
            let looked = Box::pin(cancel.run_until_cancelled(look)).await;
            scope.close().await;
            looked.ok_or_else(|| cancelled(format!("looking into {reference}")))?
        })
        .await
    }
}

async fn look(
    scope: &mut Scope,
    reference: &str,
    arch: Arch,
    programs: Vec<PathBuf>,
    directory: PathBuf,
    progress: LogSink,
) -> Result<ImageContents> {
    let shared = scope.shared.clone();
    let id = match shared.inspect(reference).await? {
        Some(image) => image.id.unwrap_or_default(),
        None => pull(&shared, reference, arch, &progress).await?.id,
    };
    let image = shared.inspect(&id).await?.unwrap_or_default();
    let body = ContainerCreateBody {
        image: Some(id.clone()),
        // Of an image without a command no container can be created. This one is never run.
        cmd: Some(vec!["never-started".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let container = scope.container(body).await?;
    let pythons = export(&shared, &container, reference, programs, directory).await?;
    Ok(ImageContents {
        id,
        architecture: image.architecture.unwrap_or_default(),
        environment: image
            .config
            .and_then(|config| config.env)
            .unwrap_or_default(),
        pythons,
    })
}

/// Unpacks the file system of `container` while the engine sends it.
async fn export(
    shared: &Shared,
    container: &str,
    reference: &str,
    programs: Vec<PathBuf>,
    directory: PathBuf,
) -> Result<Vec<String>> {
    let (sender, chunks) = mpsc::channel(AHEAD);
    let unpack = tokio::task::spawn_blocking(move || {
        let stream = Chunks {
            chunks,
            rest: Bytes::new(),
        };
        unpack::unpack(stream, &programs, &directory)
    });
    let mut stream = std::pin::pin!(shared.transfer.export_container(container));
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(engine(format!("read the image {reference}")))?;
        // Whoever unpacks has had enough: what it says comes next.
        if sender.send(chunk).await.is_err() {
            break;
        }
    }
    drop(sender);
    let unpacked = unpack.await.unwrap_or_else(|error| Err(error.to_string()));
    unpacked.map_err(|reason| {
        hinted(
            ExecutorErrorKind::ImageUnavailable,
            format!("the file system of the image {reference} cannot be used: {reason}"),
            "Look whether it is the image that was meant.",
        )
    })
}

/// Reads what comes through a channel.
struct Chunks {
    chunks: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.rest = chunk,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest
            .copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
