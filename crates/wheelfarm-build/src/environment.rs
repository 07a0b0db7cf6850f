//! Environments: a builder image plus system packages, resolved once and pinned.

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wheelfarm_types::Digest;

use crate::action::{ExecutorError, LogSink};
use crate::catalogue::{BuilderImage, ImageFacts};

/// What an environment is made from. Its digest names the derived image and the records in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRecipe {
    /// Name in the catalogue: `debian-12`, `manylinux_2_28`.
    pub image: String,
    /// What the builder image is, whatever it is called: see [`crate::catalogue::ImageFacts`].
    pub image_content: Digest,
    /// The package manager that installs [`Self::packages`].
    pub manager: PackageManager,
    /// System packages asked for, sorted, without duplicates.
    pub packages: Vec<String>,
}

/// A system package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// Debian and Ubuntu.
    Apt,
    /// AlmaLinux, Rocky; `yum` of CentOS 7 as well.
    Dnf,
    /// Alpine.
    Apk,
}

/// A system package that is installed in an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SystemPackage {
    /// Name.
    pub name: String,
    /// Full version, epoch and release included.
    pub version: String,
    /// Architecture, as the package manager names it.
    pub arch: String,
}

/// The record of an environment in the store: what was really installed. Never changed once written;
/// a later resolution of the same recipe is a further record with a higher generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRecord {
    /// 1 for the first resolution of the recipe.
    pub generation: u32,
    /// What it was made from.
    pub recipe: EnvironmentRecipe,
    /// Every package installed, transitive ones and the image's own included, sorted.
    pub manifest: Vec<SystemPackage>,
    /// A tar file in the store: the shared libraries, the loader's configuration, `etc/os-release`, and under
    /// `.wheelfarm` which package owns which library.
    pub root: Digest,
}

impl PackageManager {
    /// The word for it: the key under `system` in recipes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf => "dnf",
            Self::Apk => "apk",
        }
    }
}

impl EnvironmentRecipe {
    /// Names the recipe: sha256 of its canonical JSON.
    pub fn digest(&self) -> Digest {
        crate::key::canonical_digest(self)
    }

    /// Names it for people: `debian-12 with libpq-dev`.
    pub fn name(&self) -> String {
        if self.packages.is_empty() {
            return self.image.clone();
        }
        format!("{} with {}", self.image, self.packages.join(", "))
    }

    /// Names what stays the same when the image is made anew or pulled in a newer version: generations count along it.
    pub fn line(&self) -> Digest {
        crate::key::canonical_digest(&(&self.image, self.manager, &self.packages))
    }
}

impl EnvironmentRecord {
    /// Names what is installed, whoever installed it: part of every key.
    pub fn manifest_digest(&self) -> Digest {
        manifest_digest(&self.manifest)
    }
}

/// The digest of a manifest: sha256 of its canonical JSON.
pub fn manifest_digest(manifest: &[SystemPackage]) -> Digest {
    crate::key::canonical_digest(&manifest)
}

/// A freshly made environment.
#[derive(Debug, Clone)]
pub struct PreparedEnvironment {
    /// The derived image, as the executor names it.
    pub image: String,
    /// What is installed in it.
    pub manifest: Vec<SystemPackage>,
    /// The tar file for [`EnvironmentRecord::root`]; the same bytes for the same content.
    pub root: Bytes,
}

/// Finds and makes images and environments. Like [`crate::Executor`], but for what builds run in.
pub trait Environments: Send + Sync {
    /// What `image` is on this machine, if it is here. Never uses the network.
    fn image<'a>(
        &'a self,
        image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<Option<ImageFacts>, ExecutorError>>;

    /// Makes sure that `image` is here: pulls it if it comes from a registry.
    fn ensure_image<'a>(
        &'a self,
        image: &'a BuilderImage,
        log: LogSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>>;

    /// The image in which wheels of `image` are proved.
    fn runtime<'a>(
        &'a self,
        image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>>;

    /// The derived image of `record`, if it is here.
    fn find<'a>(
        &'a self,
        record: &'a EnvironmentRecord,
    ) -> BoxFuture<'a, Result<Option<String>, ExecutorError>>;

    /// What would be installed in the environment of `recipe` if it were made now: sorted.
    fn outlook<'a>(
        &'a self,
        image: &'a BuilderImage,
        facts: &'a ImageFacts,
        recipe: &'a EnvironmentRecipe,
        log: LogSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<SystemPackage>, ExecutorError>>;

    /// Makes the environment of `recipe` from `image`.
    fn make<'a>(
        &'a self,
        image: &'a BuilderImage,
        facts: &'a ImageFacts,
        recipe: &'a EnvironmentRecipe,
        log: LogSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<PreparedEnvironment, ExecutorError>>;
}
