//! Who keeps images on this machine: a Docker engine, or the sandbox.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::LogSink;
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, DebianRecipe, ImageFacts};
use wheelfarm_build::{Environments, Executor, ExecutorError};
use wheelfarm_executor::sandbox::Sandbox;
use wheelfarm_executor::{Docker, HostNetwork, ImageRole, ListedImage};
use wheelfarm_types::Arch;

use crate::config::{Config, ExecutorChoice};
use crate::engine::{self, Engine};
use crate::exit::Failure;
use crate::settings::Places;

/// Who keeps images.
pub(super) enum Keeper {
    Docker(Arc<Docker>),
    Sandbox(Arc<Sandbox>),
}

impl Keeper {
    /// The one with which builds would run. For a cluster that is Docker, which makes what is sent there.
    pub(super) async fn open(
        places: &Places,
        config: &Config,
        network: HostNetwork,
    ) -> Result<Self, Failure> {
        if config.farm.executor != Some(ExecutorChoice::Reapi) {
            match Engine::open(places, config, network.clone()).await?.0 {
                Engine::Docker(docker) => return Ok(Self::Docker(docker)),
                Engine::Sandbox(sandbox) => return Ok(Self::Sandbox(sandbox)),
                Engine::Reapi(_) | Engine::None(_) => {}
            }
        }
        let docker = engine::docker(places, network).await?;
        Ok(Self::Docker(Arc::new(docker)))
    }

    /// As the configuration names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Docker(_) => ExecutorChoice::Docker.as_str(),
            Self::Sandbox(_) => ExecutorChoice::Sandbox.as_str(),
        }
    }

    /// Where the images lie, if that is known.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Docker(_) => None,
            Self::Sandbox(sandbox) => Some(sandbox.images_directory()),
        }
    }

    pub(super) fn executor(&self) -> &dyn Executor {
        match self {
            Self::Docker(docker) => docker.as_ref(),
            Self::Sandbox(sandbox) => sandbox.as_ref(),
        }
    }

    pub(super) fn environments(&self) -> &dyn Environments {
        match self {
            Self::Docker(docker) => docker.as_ref(),
            Self::Sandbox(sandbox) => sandbox.as_ref(),
        }
    }

    pub(super) async fn list(
        &self,
        catalogue: &Catalogue,
    ) -> Result<Vec<ListedImage>, ExecutorError> {
        match self {
            Self::Docker(docker) => docker.list(catalogue).await,
            Self::Sandbox(sandbox) => sandbox.list(catalogue).await,
        }
    }

    pub(super) async fn pull(
        &self,
        reference: &str,
        arch: Arch,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageFacts, ExecutorError> {
        match self {
            Self::Docker(docker) => docker.pull(reference, arch, progress, cancel).await,
            Self::Sandbox(sandbox) => sandbox.pull(reference, arch, progress, cancel).await,
        }
    }

    pub(super) async fn build_debian(
        &self,
        image: &BuilderImage,
        recipe: &DebianRecipe,
        role: ImageRole,
        log: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageFacts, ExecutorError> {
        match self {
            Self::Docker(docker) => docker.build_debian(image, recipe, role, log, cancel).await,
            Self::Sandbox(sandbox) => sandbox.build_debian(image, recipe, role, log, cancel).await,
        }
    }

    /// Waits until what was made for this command is removed.
    pub(super) async fn close(&self) {
        match self {
            Self::Docker(docker) => docker.close().await,
            Self::Sandbox(sandbox) => sandbox.close().await,
        }
    }
}
