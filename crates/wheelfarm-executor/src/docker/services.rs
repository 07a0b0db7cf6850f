//! What the pipeline asks of the engine beside running actions: images and environments.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::Environments;
use wheelfarm_build::action::{ExecutorError, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, ImageFacts};
use wheelfarm_build::environment::{
    EnvironmentRecipe, EnvironmentRecord, PreparedEnvironment, SystemPackage,
};

use crate::docker::Docker;
use crate::image::{ImageRole, absent, reference_of};

impl Environments for Docker {
    fn image<'a>(
        &'a self,
        image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<Option<ImageFacts>, ExecutorError>> {
        self.find_image(image, ImageRole::Builder).boxed()
    }

    fn ensure_image<'a>(
        &'a self,
        image: &'a BuilderImage,
        log: LogSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>> {
        async move {
            if let Some(facts) = self.find_image(image, ImageRole::Builder).await? {
                return Ok(facts);
            }
            let reference = reference_of(image)?;
            self.pull(reference, image.target.arch, log, cancel).await
        }
        .boxed()
    }

    fn runtime<'a>(
        &'a self,
        image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>> {
        async move {
            let found = self.find_image(image, ImageRole::Runtime).await?;
            found.ok_or_else(|| absent(image, ImageRole::Runtime))
        }
        .boxed()
    }

    fn find<'a>(
        &'a self,
        record: &'a EnvironmentRecord,
    ) -> BoxFuture<'a, Result<Option<String>, ExecutorError>> {
        self.find_environment(record).boxed()
    }

    fn outlook<'a>(
        &'a self,
        image: &'a BuilderImage,
        facts: &'a ImageFacts,
        recipe: &'a EnvironmentRecipe,
        log: LogSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<SystemPackage>, ExecutorError>> {
        self.environment_outlook(image, facts, recipe, log, cancel)
            .boxed()
    }

    fn make<'a>(
        &'a self,
        image: &'a BuilderImage,
        facts: &'a ImageFacts,
        recipe: &'a EnvironmentRecipe,
        log: LogSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<PreparedEnvironment, ExecutorError>> {
        self.make_environment(image, facts, recipe, log, cancel)
            .boxed()
    }
}
