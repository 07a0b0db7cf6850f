//! What an image holds that decides whether wheels run on it, looked at without running anything of it.

mod unpack;
mod wanted;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_types::Arch;

use crate::docker::file_system::read_file_system;
use crate::docker::pull::pull;
use crate::docker::scope::Scope;
use crate::docker::{Docker, Shared};
use crate::error::{Result, cancelled, hinted};

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
            let id = found(&scope.shared, &reference, arch, progress, &cancel).await;
            let looked = match id {
                Ok(id) => look(&mut scope, id, &reference, programs, directory, &cancel).await,
                Err(error) => Err(error),
            };
            scope.close().await;
            looked
        })
        .await
    }
}

/// What the engine knows the image by, which is pulled if it is not there.
async fn found(
    shared: &Shared,
    reference: &str,
    arch: Arch,
    progress: LogSink,
    cancel: &CancellationToken,
) -> Result<String> {
    if let Some(image) = shared.inspect(reference).await? {
        return Ok(image.id.unwrap_or_default());
    }
    let pulled = cancel.run_until_cancelled(pull(shared, reference, arch, &progress));
    let pulled = pulled.await;
    let pulled = pulled.ok_or_else(|| cancelled(format!("pulling {reference}")))?;
    Ok(pulled?.id)
}

async fn look(
    scope: &mut Scope,
    id: String,
    reference: &str,
    programs: Vec<PathBuf>,
    directory: PathBuf,
    cancel: &CancellationToken,
) -> Result<ImageContents> {
    let image = scope.shared.inspect(&id).await?.unwrap_or_default();
    let unpack = move |stream| unpack::unpack(stream, &programs, &directory);
    let unpacked = read_file_system(scope, &id, reference, cancel, unpack).await?;
    let pythons = unpacked.map_err(|reason| {
        hinted(
            ExecutorErrorKind::ImageUnavailable,
            format!("the file system of the image {reference} cannot be used: {reason}"),
            "Look whether it is the image that was meant.",
        )
    })?;
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
