//! What an image is.

use serde::{Deserialize, Serialize};
use wheelfarm_build::catalogue::ImageFacts;
use wheelfarm_types::Arch;

use crate::image::Content;

/// What an image is, as its directory says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ImageRecord {
    /// `sha256:...`, as Docker names it too where it was pulled from a registry.
    pub(super) id: String,
    /// As registries name it: `amd64`.
    pub(super) architecture: String,
    /// `linux`.
    pub(super) os: String,
    /// `NAME=value`.
    pub(super) environment: Vec<String>,
    /// What stands before every command.
    pub(super) entry_point: Vec<String>,
    /// The digests of its layers, uncompressed: `sha256:...`.
    pub(super) layers: Vec<String>,
    /// Bytes of its files.
    pub(super) size: u64,
}

impl ImageRecord {
    /// The same as the Docker executor says of the same image, but for the size.
    pub(super) fn facts(&self) -> ImageFacts {
        ImageFacts {
            id: self.id.clone(),
            content: self.content().digest(),
            size: self.size,
        }
    }

    pub(super) fn content(&self) -> Content<'_> {
        Content {
            architecture: &self.architecture,
            environment: &self.environment,
            layers: &self.layers,
            os: &self.os,
        }
    }

    pub(super) fn is_for(&self, arch: Arch) -> bool {
        self.architecture == architecture(arch)
    }
}

/// `arch` as registries name it, without the variant: `arm` of `arm/v7`.
pub(super) fn architecture(arch: Arch) -> &'static str {
    let name = arch.image_platform();
    name.split_once('/').map_or(name, |(name, _)| name)
}
