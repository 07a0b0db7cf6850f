//! What stands in for a container engine where nothing is to be run: it has no images and makes none. What builds
//! left in the store is found without one.

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{
    Action, ActionResult, ExecutorError, ExecutorErrorKind, Listener, LogSink,
};
use wheelfarm_build::catalogue::{BuilderImage, ImageFacts};
use wheelfarm_build::environment::{
    EnvironmentRecipe, EnvironmentRecord, PreparedEnvironment, SystemPackage,
};
use wheelfarm_build::pipeline::Capacity;
use wheelfarm_build::{Environments, Executor};

/// No engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoEngine;

fn refused<'a, T: Send + 'a>(what: &str) -> BoxFuture<'a, Result<T, ExecutorError>> {
    let error = ExecutorError {
        kind: ExecutorErrorKind::Engine,
        message: format!("{what} without a container engine is not possible"),
        hint: None,
    };
    ready(Err(error)).boxed()
}

impl Executor for NoEngine {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        _listener: Listener,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ActionResult, ExecutorError>> {
        refused(&format!("to run `{}`", action.name))
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, ExecutorError>> {
        refused("to build")
    }

    fn started(&self) -> u64 {
        0
    }
}

impl Environments for NoEngine {
    fn image<'a>(
        &'a self,
        _image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<Option<ImageFacts>, ExecutorError>> {
        ready(Ok(None)).boxed()
    }

    fn ensure_image<'a>(
        &'a self,
        image: &'a BuilderImage,
        _log: LogSink,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>> {
        refused(&format!("to get the image {}", image.name))
    }

    fn runtime<'a>(
        &'a self,
        image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>> {
        refused(&format!("to run the image {}", image.name))
    }

    fn find<'a>(
        &'a self,
        _record: &'a EnvironmentRecord,
    ) -> BoxFuture<'a, Result<Option<String>, ExecutorError>> {
        ready(Ok(None)).boxed()
    }

    fn outlook<'a>(
        &'a self,
        image: &'a BuilderImage,
        _facts: &'a ImageFacts,
        _recipe: &'a EnvironmentRecipe,
        _log: LogSink,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<SystemPackage>, ExecutorError>> {
        refused(&format!("to look into {}", image.name))
    }

    fn make<'a>(
        &'a self,
        image: &'a BuilderImage,
        _facts: &'a ImageFacts,
        _recipe: &'a EnvironmentRecipe,
        _log: LogSink,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<PreparedEnvironment, ExecutorError>> {
        refused(&format!("to make an environment in {}", image.name))
    }
}
