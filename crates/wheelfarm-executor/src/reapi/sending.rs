//! Sending images of the local engine to where a cluster finds them: into its storage, or to a registry.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind, LogSink};
use wheelfarm_build::catalogue::ImageSource;
use wheelfarm_store::Created;

use super::Shared;
use super::images::{Form, ImageRecord, Origin, RemoteImage};
use super::inputs::{keep_tree, upload};
use super::outcome::failed;
use super::root::RootImage;
use super::settings::ImageMode;
use crate::docker::Docker;
use crate::error::{Result, error, hinted};

impl Shared {
    /// Sends the image of `origin` from the local engine, if nobody has meanwhile; and how many blobs were sent.
    pub(super) async fn send_image(
        &self,
        origin: &Origin,
        log: &LogSink,
        cancel: &CancellationToken,
    ) -> Result<(Arc<RemoteImage>, u64)> {
        let _alone = self.images.sending.lock().await;
        if let Some(image) = self.known_image(origin).await? {
            return Ok((image, 0));
        }
        let (docker, local) = self.local(origin).await?;
        let mode = &self.settings.image_mode;
        let key = origin.key(mode);
        let mut blobs = 0;
        let (image, variables, form) = match mode {
            ImageMode::ContainerImage { registry, .. } => {
                let pushed = self
                    .push(origin, docker, &local, registry.as_deref(), log, cancel)
                    .await?;
                let variables = docker.variables(&local).await?;
                let image = RemoteImage::new(origin, pushed.clone(), &variables, None)?;
                (image, variables, Form::Registry(pushed))
            }
            ImageMode::Chroot { .. } | ImageMode::InputRoot | ImageMode::Pool => {
                let root = self.export(origin, docker, &local, log, cancel).await?;
                let variables = root.environment().to_vec();
                let tree = root.tree().clone();
                let form = Form::Tree(keep_tree(self, &tree).await?);
                let id = tree.root.to_string();
                let image = RemoteImage::new(origin, id, &variables, Some(tree))?;
                blobs = self.send_root(origin, root, log).await?;
                (image, variables, form)
            }
        };
        let record = ImageRecord::new(origin, variables, form);
        match self.keep_record(&key, &record).await? {
            Created::New => Ok((self.images.note(&key, image), blobs)),
            // Somebody else was first: theirs counts, for everybody.
            Created::Existed => {
                let image = self.known_image(origin).await?;
                let image = image.ok_or_else(|| absent(&origin.full_name()))?;
                Ok((image, blobs))
            }
        }
    }

    /// The local engine, and what it names the image of `origin` by.
    async fn local(&self, origin: &Origin) -> Result<(&Docker, String)> {
        let name = origin.full_name();
        let docker = self.docker.as_ref().ok_or_else(|| absent(&name))?;
        let local = origin.local(docker).await?;
        Ok((docker, local.ok_or_else(|| absent(&name))?))
    }

    async fn export(
        &self,
        origin: &Origin,
        docker: &Docker,
        local: &str,
        log: &LogSink,
        cancel: &CancellationToken,
    ) -> Result<RootImage> {
        log(&format!("reading the files of {}", origin.full_name()));
        docker.export_root(local, &self.cache, cancel).await
    }

    async fn send_root(&self, origin: &Origin, root: RootImage, log: &LogSink) -> Result<u64> {
        let blobs = Arc::new(root).blobs();
        let all = blobs.len();
        let sent = upload(self, blobs).await?;
        log(&format!(
            "{}: sent {sent} of {all} files and directories",
            origin.full_name()
        ));
        Ok(sent)
    }

    /// Pushes the local image, unless it comes from a registry itself; what it is named by there.
    async fn push(
        &self,
        origin: &Origin,
        docker: &Docker,
        local: &str,
        registry: Option<&str>,
        log: &LogSink,
        cancel: &CancellationToken,
    ) -> Result<String> {
        if let Origin::Runtime { image, .. } = origin
            && let ImageSource::Registry { reference } = &image.source
        {
            return Ok(format!("docker://{reference}"));
        }
        let Some(registry) = registry else {
            return Err(hinted(
                ExecutorErrorKind::ImageUnavailable,
                format!(
                    "the cluster gets images from a registry, and {} is in none",
                    origin.full_name()
                ),
                "Name one that you may push to and workers may pull from: `registry` of [remote]. Or choose another `image-mode`.",
            ));
        };
        let (repository, host) = (
            format!("{registry}/{}", kebab(&origin.name())),
            registry.split('/').next().unwrap_or(registry),
        );
        let tag: String = origin
            .key(&self.settings.image_mode)
            .to_string()
            .chars()
            .take(24)
            .collect();
        docker.tag(local, &repository, &tag).await?;
        let login = self.settings.registry_login.clone();
        let digest = docker
            .push(&repository, &tag, host, login, Arc::clone(log), cancel)
            .await?;
        let digest = digest.ok_or_else(|| {
            let message = format!("the registry took {repository}:{tag}, but gave no digest");
            error(ExecutorErrorKind::ImageUnavailable, message)
        })?;
        Ok(format!("docker://{repository}@{digest}"))
    }
}

impl RemoteImage {
    /// Sends what the storage lacks of the root file system, if it is to be there: how many blobs that were.
    pub(super) async fn send(
        &self,
        shared: &Shared,
        log: &LogSink,
        cancel: &CancellationToken,
    ) -> Result<u64> {
        let Some(tree) = &self.tree else {
            return Ok(0);
        };
        let is_whole = async || {
            let missing = tree.missing(&shared.client).await.map_err(failed)?;
            Ok::<_, ExecutorError>(missing.is_empty())
        };
        if is_whole().await? {
            return Ok(0);
        }
        let _alone = shared.images.sending.lock().await;
        if is_whole().await? {
            return Ok(0);
        }
        let (docker, local) = shared.local(&self.origin).await?;
        let root = shared
            .export(&self.origin, docker, &local, log, cancel)
            .await?;
        let sent = shared.send_root(&self.origin, root, log).await?;
        // Another engine's image of the same packages may have other files than those that were sent first.
        let missing = tree.missing(&shared.client).await.map_err(failed)?;
        if missing.is_empty() {
            return Ok(sent);
        }
        Err(hinted(
            ExecutorErrorKind::ImageUnavailable,
            format!(
                "the cluster's storage has lost {} files of {}, which the image here does not have",
                missing.len(),
                self.origin.full_name()
            ),
            "It was sent from another machine: `wheelfarm images push --executor reapi` there sends it again. Give the storage more room, so that it forgets less.",
        ))
    }
}

fn absent(name: &str) -> ExecutorError {
    hinted(
        ExecutorErrorKind::ImageUnavailable,
        format!("{name} is not on the cluster, and not on this machine"),
        "A machine with a container engine sends it: `wheelfarm build` or `wheelfarm images push` there, with `--executor reapi` and the same store.",
    )
}

fn kebab(name: &str) -> String {
    name.replace(' ', "-").to_lowercase()
}
