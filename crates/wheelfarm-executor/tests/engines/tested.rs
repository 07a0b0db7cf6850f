//! What is tested: an executor of either kind, with what both can do.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::Environments;
use wheelfarm_build::action::{Executor, ExecutorError, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, DebianRecipe, ImageFacts};
use wheelfarm_executor::{Docker, ImageRole, ListedImage, Sandbox};
use wheelfarm_types::Arch;

/// An executor of either kind.
pub(crate) enum Tested {
    Docker(Docker),
    Sandbox(Sandbox),
}

/// Calls the same on either.
macro_rules! either {
    ($self:ident, $executor:ident => $call:expr) => {
        match $self {
            Self::Docker($executor) => $call,
            Self::Sandbox($executor) => $call,
        }
    };
}

impl Tested {
    pub(crate) fn executor(&self) -> &dyn Executor {
        either!(self, it => it)
    }

    pub(crate) fn environments(&self) -> &dyn Environments {
        either!(self, it => it)
    }

    /// The one behind Docker's interface; only what nothing else can do is asked of it.
    pub(crate) fn docker(&self) -> &Docker {
        match self {
            Self::Docker(docker) => docker,
            Self::Sandbox(_) => panic!("this test is not for the sandbox"),
        }
    }

    pub(crate) fn sandbox_directory(&self) -> Option<&Path> {
        match self {
            Self::Docker(_) => None,
            Self::Sandbox(sandbox) => Some(sandbox.directory()),
        }
    }

    pub(crate) fn sandbox_run(&self) -> Option<String> {
        match self {
            Self::Docker(_) => None,
            Self::Sandbox(sandbox) => Some(sandbox.run_name().to_owned()),
        }
    }

    pub(crate) async fn close(&self) {
        either!(self, it => it.close().await);
    }

    /// How many things, and how many runs, a sweep removed.
    pub(crate) async fn sweep(&self) -> (usize, usize) {
        match self {
            Self::Docker(docker) => {
                let swept = docker.sweep().await.unwrap();
                (swept.containers + swept.volumes, swept.runs)
            }
            Self::Sandbox(sandbox) => {
                let swept = sandbox.sweep().await.unwrap();
                (swept.directories, swept.runs)
            }
        }
    }

    pub(crate) async fn find_image(
        &self,
        image: &BuilderImage,
        role: ImageRole,
    ) -> Result<Option<ImageFacts>, ExecutorError> {
        either!(self, it => it.find_image(image, role).await)
    }

    pub(crate) async fn list(
        &self,
        catalogue: &Catalogue,
    ) -> Result<Vec<ListedImage>, ExecutorError> {
        either!(self, it => it.list(catalogue).await)
    }

    pub(crate) async fn pull(
        &self,
        reference: &str,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageFacts, ExecutorError> {
        either!(self, it => it.pull(reference, Arch::X86_64, progress, cancel).await)
    }

    pub(crate) async fn build_debian(
        &self,
        image: &BuilderImage,
        recipe: &DebianRecipe,
        role: ImageRole,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageFacts, ExecutorError> {
        either!(self, it => it.build_debian(image, recipe, role, progress, cancel).await)
    }
}
