//! Images as a cluster has them: which ones there are, and sending those that only the local engine has.
//!
//! What an image is called there is a record in our store, so that who has no container engine finds what others sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind, LogSink};
use wheelfarm_build::canonical_digest;
use wheelfarm_build::catalogue::BuilderImage;
use wheelfarm_build::environment::{EnvironmentRecipe, EnvironmentRecord};
use wheelfarm_reapi::Tree;
use wheelfarm_store::Created;
use wheelfarm_types::Digest;

use super::Shared;
use super::inputs::{keep_tree, read_tree, upload};
use super::kept::KeptTree;
use super::outcome::failed;
use super::root::RootImage;
use super::settings::ImageMode;
use crate::docker::Docker;
use crate::error::{Result, error, hinted, store};

/// Names of images as clusters have them.
const RECORD: &str = "remote-image";
/// What programs are found by where an image says nothing: what container engines set then.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an image is of.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// The bare runtime of a builder image, with the digest of its content.
    Runtime {
        image: Box<BuilderImage>,
        content: Digest,
    },
    /// An environment with the packages of a manifest.
    Environment {
        recipe: EnvironmentRecipe,
        manifest: Digest,
    },
}

/// An image as a cluster has it.
#[derive(Debug)]
pub(super) struct RemoteImage {
    /// What actions name it by on this side.
    pub(super) handle: String,
    /// What the cluster names it by.
    pub(super) id: String,
    /// For people, and for `{image}`.
    pub(super) name: String,
    /// What is installed over it.
    pub(super) packages: Vec<String>,
    /// The variables that it sets.
    pub(super) environment: BTreeMap<String, String>,
    /// Its root file system, if that lies in the storage.
    pub(super) tree: Option<KeptTree>,
    origin: Origin,
}

/// Images that were looked up or sent, by their key and by their handle.
#[derive(Debug, Default)]
pub(super) struct Images {
    known: Mutex<HashMap<String, Arc<RemoteImage>>>,
    /// Held while one is sent, which takes disk and network as it is.
    sending: tokio::sync::Mutex<()>,
}

/// What our store says of an image.
#[derive(Debug, Serialize, Deserialize)]
struct ImageRecord {
    name: String,
    /// The recipe of an environment: what keeps that keeps this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipe: Option<Digest>,
    environment: Vec<String>,
    form: Form,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Form {
    /// The encoded tree, in the store.
    Tree(Digest),
    /// `docker://NAME@sha256:...`
    Registry(String),
}

impl Images {
    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<RemoteImage>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image that an action names.
    pub(super) fn get(&self, handle: &str) -> Result<Arc<RemoteImage>> {
        let found = self.known().get(handle).cloned();
        found.ok_or_else(|| {
            error(
                ExecutorErrorKind::ImageUnavailable,
                format!("the image `{handle}` was never looked up on the cluster"),
            )
        })
    }

    fn note(&self, key: &Digest, image: RemoteImage) -> Arc<RemoteImage> {
        let image = Arc::new(image);
        let mut known = self.known();
        known.insert(key.to_string(), Arc::clone(&image));
        known.insert(image.handle.clone(), Arc::clone(&image));
        image
    }
}

impl Origin {
    pub(super) fn environment(record: &EnvironmentRecord) -> Self {
        Self::Environment {
            recipe: record.recipe.clone(),
            manifest: record.manifest_digest(),
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Runtime { image, .. } => format!("{} runtime", image.name),
            Self::Environment { recipe, .. } => recipe.image.clone(),
        }
    }

    /// For people: `debian-12 with libpq-dev`.
    pub(super) fn full_name(&self) -> String {
        match self {
            Self::Runtime { .. } => self.name(),
            Self::Environment { recipe, .. } => recipe.name(),
        }
    }

    fn packages(&self) -> Vec<String> {
        match self {
            Self::Runtime { .. } => Vec::new(),
            Self::Environment { recipe, .. } => recipe.packages.clone(),
        }
    }

    fn recipe(&self) -> Option<Digest> {
        match self {
            Self::Runtime { .. } => None,
            Self::Environment { recipe, .. } => Some(recipe.digest()),
        }
    }

    /// Names it in our store: what it is, and which way clusters of `mode` have it.
    fn key(&self, mode: &ImageMode) -> Digest {
        let way = match mode {
            ImageMode::ContainerImage { registry, .. } => registry.as_deref().unwrap_or_default(),
            _ => "tree",
        };
        match self {
            Self::Runtime { image, content } => {
                canonical_digest(&(way, &image.name, image.target.arch, content))
            }
            Self::Environment { recipe, manifest } => {
                canonical_digest(&(way, recipe.digest(), manifest))
            }
        }
    }

    /// The image on the local engine, if it has it.
    async fn local(&self, docker: &Docker) -> Result<Option<String>> {
        match self {
            Self::Runtime { image, .. } => {
                use crate::docker::ImageRole::Runtime;
                let found = docker.find_image(image, Runtime).await?;
                Ok(found.map(|facts| facts.id))
            }
            Self::Environment { recipe, manifest } => docker.find_made(recipe, manifest).await,
        }
    }
}

impl Shared {
    /// The image of `origin`, if it was ever sent: by this process or by another one with our store.
    pub(super) async fn known_image(&self, origin: &Origin) -> Result<Option<Arc<RemoteImage>>> {
        let mode = &self.settings.image_mode;
        let key = origin.key(mode);
        let known = self.images.known().get(&key.to_string()).cloned();
        if known.is_some() {
            return Ok(known);
        }
        if *mode == ImageMode::Pool {
            let variables = self.variables_of_pool(origin).await?;
            let image = RemoteImage::new(origin, String::new(), &variables, None)?;
            return Ok(Some(self.images.note(&key, image)));
        }
        let record: Option<ImageRecord> = self
            .store
            .record(RECORD, &key)
            .await
            .map_err(|source| store(&source))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let image = match record.form {
            Form::Registry(reference) => {
                RemoteImage::new(origin, reference, &record.environment, None)?
            }
            Form::Tree(digest) => {
                if !self.contains(&digest).await? {
                    return Ok(None);
                }
                let tree = read_tree(self, &digest).await?;
                let root = tree.root.to_string();
                RemoteImage::new(origin, root, &record.environment, Some(tree))?
            }
        };
        Ok(Some(self.images.note(&key, image)))
    }

    /// The image of `origin`, sent now if it never was: from the local engine.
    pub(super) async fn image(
        &self,
        origin: &Origin,
        log: &LogSink,
        cancel: &CancellationToken,
    ) -> Result<Arc<RemoteImage>> {
        match self.known_image(origin).await? {
            Some(image) => Ok(image),
            None => Ok(self.send_image(origin, log, cancel).await?.0),
        }
    }

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
        let record = ImageRecord {
            name: origin.full_name(),
            recipe: origin.recipe(),
            environment: variables,
            form,
        };
        let created = self.store.create_record(RECORD, &key, &record);
        match created.await.map_err(|source| store(&source))? {
            Created::New => Ok((self.images.note(&key, image), blobs)),
            // Somebody else was first: theirs counts, for everybody.
            Created::Existed => {
                let image = self.known_image(origin).await?;
                let image = image.ok_or_else(|| absent(&origin.full_name()))?;
                Ok((image, blobs))
            }
        }
    }

    /// Whether our store has a blob: who cleans it may leave a record whose blob is gone.
    pub(super) async fn contains(&self, digest: &Digest) -> Result<bool> {
        let contains = self.store.contains(digest).await;
        contains.map_err(|source| store(&source))
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
        use wheelfarm_build::catalogue::ImageSource;
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

    /// The variables of an image that workers are in already: those of the image here, if it is here.
    async fn variables_of_pool(&self, origin: &Origin) -> Result<Vec<String>> {
        let Some(docker) = &self.docker else {
            return Ok(Vec::new());
        };
        match origin.local(docker).await? {
            Some(local) => docker.variables(&local).await,
            None => Ok(Vec::new()),
        }
    }
}

impl RemoteImage {
    fn new(origin: &Origin, id: String, variables: &[String], tree: Option<Tree>) -> Result<Self> {
        let pairs = variables
            .iter()
            .filter_map(|variable| variable.split_once('='));
        let mut environment: BTreeMap<_, _> = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        environment
            .entry("PATH".to_owned())
            .or_insert_with(|| PATH.to_owned());
        Ok(Self {
            handle: format!("{} on the cluster as {id}", origin.full_name()),
            id,
            name: origin.name(),
            packages: origin.packages(),
            environment,
            tree: tree.map(KeptTree::new).transpose().map_err(failed)?,
            origin: origin.clone(),
        })
    }

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
