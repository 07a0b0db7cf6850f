//! What there is to say of a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use wheelfarm_reapi::Settings;

use crate::docker::RegistryLogin;

/// How a cluster is reached and used.
#[derive(Debug, Clone)]
pub struct ReapiSettings {
    /// The connection.
    pub connection: Settings,
    /// How actions get the image that they run in.
    pub image_mode: ImageMode,
    /// Where actions find their inputs.
    pub inputs: InputPlace,
    /// Platform properties of every action, by name. Values may have placeholders: `{image}`, `{packages}`, `{cores}`,
    /// `{memory}`, `{memory-mib}`.
    pub properties: BTreeMap<String, String>,
    /// Further properties of actions that may use the network.
    pub network_properties: BTreeMap<String, String>,
    /// Who pushes to the registry of [`ImageMode::ContainerImage`].
    pub registry_login: Option<RegistryLogin>,
    /// `ExecutionPolicy.priority`: lower runs earlier, 0 is the default.
    pub priority: i32,
    /// How many actions are in flight at a time.
    pub jobs: u32,
    /// How many cores an action may fill on a worker, where its package says nothing.
    pub cores: u32,
    /// How long an action may wait for a worker.
    pub queue_timeout: Duration,
}

/// Where actions find their inputs: REAPI only says that they are below the directory that an action starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputPlace {
    /// At the top of the image's file system, as buildbox has it.
    #[default]
    Root,
    /// In a new directory for each action, beside the image's files: as most engines have it.
    Directory,
}

/// How actions get the image that they run in: REAPI itself does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageMode {
    /// A property names an image in a registry, by digest: `docker://NAME@sha256:...`.
    ContainerImage {
        /// The property, `container-image` by convention.
        property: String,
        /// Where images that are not in a registry are pushed to: `HOST[:PORT]/PREFIX`.
        registry: Option<String>,
    },
    /// A property names the directory in the storage that is the root file system: `HASH/SIZE`.
    Chroot {
        /// The property, `chrootRootDigest` for buildbox.
        property: String,
    },
    /// The root file system is part of the input root.
    InputRoot,
    /// Workers run in the image already; properties choose them.
    Pool,
}

impl ImageMode {
    /// The word for it in configurations.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ContainerImage { .. } => "container-image",
            Self::Chroot { .. } => "chroot",
            Self::InputRoot => "input-root",
            Self::Pool => "pool",
        }
    }

    /// Whether a property of actions names the image.
    pub(super) fn is_by_property(&self) -> bool {
        matches!(self, Self::ContainerImage { .. } | Self::Chroot { .. })
    }
}
