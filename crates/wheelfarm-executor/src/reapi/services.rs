//! Environments for a cluster: the local container engine makes them, and they are sent; what was sent before is known
//! from the store, and needs no engine.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::Environments;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind, LogSink};
use wheelfarm_build::canonical_digest;
use wheelfarm_build::catalogue::{BuilderImage, ImageFacts};
use wheelfarm_build::environment::{
    EnvironmentRecipe, EnvironmentRecord, PreparedEnvironment, SystemPackage, manifest_digest,
};
use wheelfarm_types::Digest;

use super::images::Origin;
use super::{Reapi, Shared};
use crate::docker::Docker;
use crate::error::{Result, hinted, store};

/// The content of runtimes as they were last used, by builder image.
const RUNTIME: &str = "remote-runtime";

impl Environments for Reapi {
    fn image<'a>(
        &'a self,
        image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<Option<ImageFacts>, ExecutorError>> {
        async move {
            match &self.shared.docker {
                Some(docker) => docker.image(image).await,
                // What builds with this store have seen of it is known.
                None => Ok(None),
            }
        }
        .boxed()
    }

    fn ensure_image<'a>(
        &'a self,
        image: &'a BuilderImage,
        log: LogSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>> {
        async move {
            let docker = self.shared.engine(&format!("the image {}", image.name))?;
            docker.ensure_image(image, log, cancel).await
        }
        .boxed()
    }

    fn runtime<'a>(
        &'a self,
        image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>> {
        async move {
            let (content, size) = self.shared.runtime_content(image).await?;
            let origin = Origin::Runtime {
                image: Box::new(image.clone()),
                content,
            };
            let log: LogSink = std::sync::Arc::new(|_| {});
            let cancel = CancellationToken::new();
            let sent = self.shared.image(&origin, &log, &cancel).await?;
            Ok(ImageFacts {
                id: sent.handle.clone(),
                content,
                size,
            })
        }
        .boxed()
    }

    fn find<'a>(
        &'a self,
        record: &'a EnvironmentRecord,
    ) -> BoxFuture<'a, Result<Option<String>, ExecutorError>> {
        async move {
            let origin = Origin::environment(record);
            if let Some(image) = self.shared.known_image(&origin).await? {
                return Ok(Some(image.handle.clone()));
            }
            let here = match &self.shared.docker {
                Some(docker) => docker.find(record).await?,
                None => None,
            };
            if here.is_none() {
                return Ok(None);
            }
            let log: LogSink = std::sync::Arc::new(|_| {});
            let cancel = CancellationToken::new();
            let sent = self.shared.image(&origin, &log, &cancel).await?;
            Ok(Some(sent.handle.clone()))
        }
        .boxed()
    }

    fn outlook<'a>(
        &'a self,
        image: &'a BuilderImage,
        facts: &'a ImageFacts,
        recipe: &'a EnvironmentRecipe,
        log: LogSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<SystemPackage>, ExecutorError>> {
        async move {
            let docker = self.shared.engine(&recipe.name())?;
            docker.outlook(image, facts, recipe, log, cancel).await
        }
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
        async move {
            let docker = self.shared.engine(&recipe.name())?;
            // A runtime is known by what it is on the cluster.
            let facts = match self.shared.images.get(&facts.id) {
                Ok(_) => docker.runtime(image).await?,
                Err(_) => facts.clone(),
            };
            let made = docker
                .make(image, &facts, recipe, log.clone(), cancel)
                .await?;
            let origin = Origin::Environment {
                recipe: recipe.clone(),
                manifest: manifest_digest(&made.manifest),
            };
            let sent = self.shared.image(&origin, &log, cancel).await?;
            Ok(PreparedEnvironment {
                image: sent.handle.clone(),
                ..made
            })
        }
        .boxed()
    }
}

/// An image that a cluster has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// For people.
    pub name: String,
    /// What the cluster names it by; empty if its workers are in it.
    pub id: String,
    /// How many files and directories were sent for it; 0 if all were there.
    pub blobs: u64,
}

impl Reapi {
    /// Sees to it that the cluster has the bare runtime of `image`.
    pub async fn push_runtime(
        &self,
        image: &BuilderImage,
        log: LogSink,
        cancel: &CancellationToken,
    ) -> Result<Sent> {
        let (content, _) = self.shared.runtime_content(image).await?;
        let origin = Origin::Runtime {
            image: Box::new(image.clone()),
            content,
        };
        self.push(&origin, &log, cancel).await
    }

    /// Sees to it that the cluster has the environment of `record`; none if it is not here either.
    pub async fn push_environment(
        &self,
        record: &EnvironmentRecord,
        log: LogSink,
        cancel: &CancellationToken,
    ) -> Result<Option<Sent>> {
        let origin = Origin::environment(record);
        let docker = self.shared.engine(&record.recipe.name())?;
        if docker.find(record).await?.is_none() {
            return Ok(None);
        }
        self.push(&origin, &log, cancel).await.map(Some)
    }

    /// The bare runtime of `image`, if the cluster was sent it with our store. Sends nothing.
    pub async fn known_runtime(&self, image: &BuilderImage) -> Result<Option<ImageFacts>> {
        let last = self.shared.last_runtime(image).await?;
        let Some((_, (content, size))) = last else {
            return Ok(None);
        };
        let origin = Origin::Runtime {
            image: Box::new(image.clone()),
            content,
        };
        let known = self.shared.known_image(&origin).await?;
        Ok(known.map(|known| ImageFacts {
            id: known.handle.clone(),
            content,
            size,
        }))
    }

    /// Whether there is a container engine beside the cluster, which makes what is to be sent.
    pub fn has_engine(&self) -> bool {
        self.shared.docker.is_some()
    }

    async fn push(
        &self,
        origin: &Origin,
        log: &LogSink,
        cancel: &CancellationToken,
    ) -> Result<Sent> {
        let known = self.shared.known_image(origin).await?;
        let (image, before) = match known {
            Some(image) => (image, 0),
            None => self.shared.send_image(origin, log, cancel).await?,
        };
        let blobs = before + image.send(&self.shared, log, cancel).await?;
        Ok(Sent {
            name: origin.full_name(),
            id: image.id.clone(),
            blobs,
        })
    }
}

impl Shared {
    /// The local engine, which is needed for `what`.
    pub(super) fn engine(&self, what: &str) -> Result<&Docker> {
        self.docker.as_ref().ok_or_else(|| no_engine(what))
    }

    /// What was last sent of the runtime of `image`: its number in the series, its content and its size.
    async fn last_runtime(&self, image: &BuilderImage) -> Result<Option<(u64, (Digest, u64))>> {
        let last = self.store.latest(RUNTIME, &runtime_key(image)).await;
        last.map_err(|source| store(&source))
    }

    /// What the runtime of `image` is, and its size: that of the engine here, else the one that was used last.
    async fn runtime_content(&self, image: &BuilderImage) -> Result<(Digest, u64)> {
        let last = self.last_runtime(image).await?;
        let Some(docker) = &self.docker else {
            let last = last.map(|(_, last)| last);
            return last.ok_or_else(|| no_engine(&format!("the bare runtime of {}", image.name)));
        };
        let facts = docker.runtime(image).await?;
        let now = (facts.content, facts.size);
        if last.as_ref().is_none_or(|(_, last)| *last != now) {
            let number = last.map_or(1, |(number, _)| number + 1);
            let key = runtime_key(image);
            let appended = self.store.append(RUNTIME, &key, number, &now).await;
            appended.map_err(|source| store(&source))?;
        }
        Ok(now)
    }
}

fn runtime_key(image: &BuilderImage) -> Digest {
    canonical_digest(&(&image.name, image.target.arch))
}

fn no_engine(what: &str) -> ExecutorError {
    hinted(
        ExecutorErrorKind::ImageUnavailable,
        format!(
            "{what} was never made with this store, and no container engine here could make it"
        ),
        "A machine with a container engine makes and sends it, once: `wheelfarm build` there, with `--executor reapi` and the same store.",
    )
}
