//! Images as a cluster has them: which ones there are.
//!
//! What an image is called there is a record in our store, so that who has no container engine finds what others sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_build::canonical_digest;
use wheelfarm_build::catalogue::BuilderImage;
use wheelfarm_build::environment::{EnvironmentRecipe, EnvironmentRecord};
use wheelfarm_reapi::Tree;
use wheelfarm_store::Created;
use wheelfarm_types::Digest;

use super::Shared;
use super::inputs::read_tree;
use super::kept::KeptTree;
use super::outcome::failed;
use super::settings::ImageMode;
use crate::docker::Docker;
use crate::error::{Result, error, store};

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
    pub(super) origin: Origin,
}

/// Images that were looked up or sent, by their key and by their handle.
#[derive(Debug, Default)]
pub(super) struct Images {
    known: Mutex<HashMap<String, Arc<RemoteImage>>>,
    /// Held while one is sent, which takes disk and network as it is.
    pub(super) sending: tokio::sync::Mutex<()>,
}

/// What our store says of an image.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    name: String,
    /// The recipe of an environment: what keeps that keeps this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipe: Option<Digest>,
    environment: Vec<String>,
    form: Form,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    /// The encoded tree, in the store.
    Tree(Digest),
    /// `docker://NAME@sha256:...`
    Registry(String),
    /// It is in the workers.
    Workers,
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

    pub(super) fn note(&self, key: &Digest, image: RemoteImage) -> Arc<RemoteImage> {
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
    pub(super) fn key(&self, mode: &ImageMode) -> Digest {
        let way = match mode {
            ImageMode::ContainerImage { registry, .. } => registry.as_deref().unwrap_or_default(),
            ImageMode::Pool => "pool",
            ImageMode::Chroot { .. } | ImageMode::InputRoot => "tree",
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
    pub(super) async fn local(&self, docker: &Docker) -> Result<Option<String>> {
        match self {
            Self::Runtime { image, .. } => {
                use crate::image::ImageRole::Runtime;
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
            let variables = self.variables_of_pool(origin, &key).await?;
            let image = RemoteImage::new(origin, String::new(), &variables, None)?;
            return Ok(Some(self.images.note(&key, image)));
        }
        let Some(record) = self.record(&key).await? else {
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
            Form::Workers => return Ok(None),
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

    /// Whether our store has a blob: who cleans it may leave a record whose blob is gone.
    pub(super) async fn contains(&self, digest: &Digest) -> Result<bool> {
        let contains = self.store.contains(digest).await;
        contains.map_err(|source| store(&source))
    }

    async fn record(&self, key: &Digest) -> Result<Option<ImageRecord>> {
        let record = self.store.record(RECORD, key).await;
        record.map_err(|source| store(&source))
    }

    /// Keeps what an image is called, and returns whether nobody had before.
    pub(super) async fn keep_record(&self, key: &Digest, record: &ImageRecord) -> Result<Created> {
        let created = self.store.create_record(RECORD, key, record).await;
        created.map_err(|source| store(&source))
    }

    /// The variables of an image that workers are in already: those of the image here, if it is here. Kept, so that who
    /// has no engine describes the same action.
    async fn variables_of_pool(&self, origin: &Origin, key: &Digest) -> Result<Vec<String>> {
        if let Some(record) = self.record(key).await? {
            return Ok(record.environment);
        }
        let local = match &self.docker {
            Some(docker) => origin.local(docker).await?.map(|local| (docker, local)),
            None => None,
        };
        let Some((docker, local)) = local else {
            return Ok(Vec::new());
        };
        let environment = docker.variables(&local).await?;
        let record = ImageRecord::new(origin, environment.clone(), Form::Workers);
        self.keep_record(key, &record).await?;
        Ok(environment)
    }
}

impl ImageRecord {
    pub(super) fn new(origin: &Origin, environment: Vec<String>, form: Form) -> Self {
        Self {
            name: origin.full_name(),
            recipe: origin.recipe(),
            environment,
            form,
        }
    }
}

impl RemoteImage {
    pub(super) fn new(
        origin: &Origin,
        id: String,
        variables: &[String],
        tree: Option<Tree>,
    ) -> Result<Self> {
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
}
