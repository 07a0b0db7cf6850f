//! What every engine has to say of images: what they are for, their names, and what tells two apart.

use serde::Serialize;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};
use wheelfarm_build::canonical_digest;
use wheelfarm_build::catalogue::{BuilderImage, ImageFacts, ImageSource};
use wheelfarm_types::{Arch, Digest};

use crate::error::{Result, hinted};

/// What an image of the catalogue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageRole {
    /// Wheels are built in it.
    Builder,
    /// Wheels are proved in it.
    Runtime,
}

/// An image of the catalogue, and what of it is on this engine.
#[derive(Debug, Clone)]
pub struct ListedImage {
    /// The image as the catalogue has it.
    pub image: BuilderImage,
    /// The builder, if it is there.
    pub builder: Option<ImageFacts>,
    /// The runtime, if it is there.
    pub runtime: Option<ImageFacts>,
}

/// What [`ImageFacts::content`] is the digest of.
#[derive(Serialize)]
pub(crate) struct Content<'a> {
    pub(crate) architecture: &'a str,
    pub(crate) environment: &'a [String],
    pub(crate) layers: &'a [String],
    pub(crate) os: &'a str,
}

impl Content<'_> {
    /// Equal for equal content, whichever engine has it.
    pub(crate) fn digest(&self) -> Digest {
        canonical_digest(self)
    }
}

/// The local name of a Debian-made image.
pub(crate) fn debian_name(image: &BuilderImage, role: ImageRole) -> String {
    match role {
        ImageRole::Builder => image.local_tag(),
        ImageRole::Runtime => image.runtime_tag(),
    }
}

/// The reference by which `image` is pulled. One that is made of Debian packages has none: then it is absent.
pub(crate) fn reference_of(image: &BuilderImage) -> Result<&str> {
    match &image.source {
        ImageSource::Registry { reference } => Ok(reference),
        ImageSource::Debian { .. } => Err(absent(image, ImageRole::Builder)),
    }
}

/// The image of `role` is not on this machine.
pub(crate) fn absent(image: &BuilderImage, role: ImageRole) -> ExecutorError {
    let what = match role {
        ImageRole::Builder => "builder",
        ImageRole::Runtime => "bare runtime",
    };
    hinted(
        ExecutorErrorKind::ImageUnavailable,
        format!("the {what} image of {} is not on this machine", image.name),
        format!("`{}` gets it", image.command()),
    )
}

/// The platform of `arch` as registries name it: `linux/arm/v7`.
pub(crate) fn platform(arch: Arch) -> String {
    format!("linux/{}", arch.image_platform())
}

/// `quay.io/pypa/manylinux_2_28_x86_64` of `quay.io/pypa/manylinux_2_28_x86_64@sha256:...`, or of `...:tag`.
pub(crate) fn repository(reference: &str) -> &str {
    let name = reference
        .split_once('@')
        .map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        // Not the port of a registry.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_part_of_the_platform() {
        assert_eq!(platform(Arch::Armv7l), "linux/arm/v7");
    }

    #[test]
    fn repositories_are_told_from_tags_and_ports() {
        for (reference, expected) in [
            ("quay.io/pypa/x@sha256:00", "quay.io/pypa/x"),
            ("quay.io/pypa/x:1@sha256:00", "quay.io/pypa/x"),
            ("localhost:5000/x", "localhost:5000/x"),
            ("localhost:5000/x:1", "localhost:5000/x"),
        ] {
            assert_eq!(repository(reference), expected);
        }
    }
}
