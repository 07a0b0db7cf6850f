//! The whole file system of an image as one stream, with nothing of it run: a container is created, never started, its
//! file system exported, and the container removed.

use std::io::{self, Read};

use bollard::models::{ContainerCreateBody, HostConfig};
use bytes::{Buf, Bytes};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;

use crate::docker::error::engine;
use crate::docker::scope::Scope;
use crate::error::{Result, cancelled, error};

/// Chunks of the file system that wait to be read.
const AHEAD: usize = 16;

/// Hands the file system of the image `id`, a tar file, to `read`, on a thread where it may block; `shown` is what people
/// call the image. Whoever reads need not read to the end.
///
/// `cancel` ends the export, but not the creation of the container: nobody would know whether there is one.
pub(crate) async fn read_file_system<T: Send + 'static>(
    scope: &mut Scope,
    id: &str,
    shown: &str,
    cancel: &CancellationToken,
    read: impl FnOnce(Chunks) -> T + Send + 'static,
) -> Result<T> {
    let body = ContainerCreateBody {
        image: Some(id.to_owned()),
        // Of an image without a command no container can be created. This one is never run.
        cmd: Some(vec!["never-started".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let container = scope.container(body).await?;
    let (sender, chunks) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        read(Chunks {
            chunks,
            rest: Bytes::new(),
        })
    });
    let mut stream = std::pin::pin!(scope.shared.transfer.export_container(&container));
    let cancelled = || cancelled(format!("reading the image {shown}"));
    while let Some(chunk) = cancel
        .run_until_cancelled(stream.next())
        .await
        .ok_or_else(cancelled)?
    {
        let chunk = chunk.map_err(engine(format!("read the image {shown}")))?;
        // Whoever reads has had enough: what it says comes next.
        if sender.send(chunk).await.is_err() {
            break;
        }
    }
    drop(sender);
    reading.await.map_err(|source| {
        let message = format!("reading the image {shown} broke off: {source}");
        error(ExecutorErrorKind::Engine, message)
    })
}

/// Reads what comes through a channel.
pub(crate) struct Chunks {
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
