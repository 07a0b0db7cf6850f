//! Finds builder and runtime images, and says what they are.

use std::collections::HashMap;

use bollard::models::ImageInspect;
use bollard::query_parameters::ListImagesOptionsBuilder;
use futures::future::try_join_all;
use serde::Serialize;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::canonical_digest;
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageFacts, ImageSource};
use wheelfarm_types::Arch;

use crate::docker::error::{engine, is_not_found};
use crate::docker::{Docker, Shared};
use crate::error::{Result, error};

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
struct Content<'a> {
    architecture: &'a str,
    environment: &'a [String],
    layers: &'a [String],
    os: &'a str,
}

impl Docker {
    /// The image of `role`, if the engine has it: under its name or digest, or (pulled ones) under any tag of
    /// the same repository, as `docker load` leaves it. Pulls and makes nothing.
    pub async fn find_image(
        &self,
        image: &BuilderImage,
        role: ImageRole,
    ) -> Result<Option<ImageFacts>> {
        match &image.source {
            ImageSource::Debian { .. } => {
                let name = debian_tag(image, role);
                let found = self.shared.inspect(&name).await?;
                found.as_ref().map(facts).transpose()
            }
            ImageSource::Registry { reference } => {
                self.shared.find_pulled(reference, image.target.arch).await
            }
        }
    }

    /// The variables that the image `id` sets: `NAME=value`.
    pub(crate) async fn variables(&self, id: &str) -> Result<Vec<String>> {
        let image = self.shared.inspect(id).await?;
        let config = image.and_then(|image| image.config);
        Ok(config.and_then(|config| config.env).unwrap_or_default())
    }

    /// Every image of the catalogue, present or not.
    pub async fn list(&self, catalogue: &Catalogue) -> Result<Vec<ListedImage>> {
        try_join_all(catalogue.images().iter().map(|image| async move {
            let (builder, runtime) = tokio::try_join!(
                self.find_image(image, ImageRole::Builder),
                self.find_image(image, ImageRole::Runtime)
            )?;
            Ok(ListedImage {
                image: image.clone(),
                builder,
                runtime,
            })
        }))
        .await
    }
}

impl Shared {
    /// The image called `name`, if the engine has it.
    pub(crate) async fn inspect(&self, name: &str) -> Result<Option<ImageInspect>> {
        match self.client.inspect_image(name).await {
            Ok(image) => Ok(Some(image)),
            Err(source) if is_not_found(&source) => Ok(None),
            Err(source) => Err(engine(format!("describe the image {name}"))(source)),
        }
    }

    async fn find_pulled(&self, reference: &str, arch: Arch) -> Result<Option<ImageFacts>> {
        // The engine finds an image by digest for any architecture: ask which it is.
        if let Some(image) = self.inspect(reference).await?
            && is_for(&image, arch)
        {
            return facts(&image).map(Some);
        }
        let repository = repository(reference);
        let filters = HashMap::from([("reference", vec![repository])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let mut images = self
            .client
            .list_images(Some(options))
            .await
            .map_err(engine(format!("list the images of {repository}")))?;
        images.sort_by_key(|image| std::cmp::Reverse(image.created));
        for image in images {
            if let Some(image) = self.inspect(&image.id).await?
                && is_for(&image, arch)
            {
                return facts(&image).map(Some);
            }
        }
        Ok(None)
    }
}

/// The local name of a Debian-made image.
pub(crate) fn debian_tag(image: &BuilderImage, role: ImageRole) -> String {
    match role {
        ImageRole::Builder => image.local_tag(),
        ImageRole::Runtime => image.runtime_tag(),
    }
}

/// What `image` is.
pub(crate) fn facts(image: &ImageInspect) -> Result<ImageFacts> {
    let id = image.id.clone().unwrap_or_default();
    let layers = image
        .root_fs
        .as_ref()
        .and_then(|root| root.layers.as_deref())
        .unwrap_or_default();
    if id.is_empty() || layers.is_empty() {
        let message =
            format!("the container engine does not say what the layers of image `{id}` are");
        return Err(error(ExecutorErrorKind::Engine, message));
    }
    let environment = image
        .config
        .as_ref()
        .and_then(|config| config.env.as_deref());
    let content = Content {
        architecture: image.architecture.as_deref().unwrap_or_default(),
        environment: environment.unwrap_or_default(),
        layers,
        os: image.os.as_deref().unwrap_or_default(),
    };
    Ok(ImageFacts {
        content: canonical_digest(&content),
        size: image
            .size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0),
        id,
    })
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

fn is_for(image: &ImageInspect, arch: Arch) -> bool {
    let name = arch.image_platform();
    let name = name.split_once('/').map_or(name, |(name, _)| name);
    image.architecture.as_deref() == Some(name)
}

#[cfg(test)]
mod tests {
    use bollard::models::{ImageConfig, ImageInspectRootFs};

    use super::*;

    fn image(id: &str, layers: &[&str], environment: Option<&str>) -> ImageInspect {
        ImageInspect {
            id: Some(id.to_owned()),
            architecture: Some("arm".to_owned()),
            root_fs: Some(ImageInspectRootFs {
                typ: "layers".to_owned(),
                layers: Some(layers.iter().map(|&layer| layer.to_owned()).collect()),
            }),
            config: Some(ImageConfig {
                env: environment.map(|text| vec![text.to_owned()]),
                ..ImageConfig::default()
            }),
            ..ImageInspect::default()
        }
    }

    #[test]
    fn content_is_layers_and_environment_whatever_the_id() {
        let content = |image| facts(&image).unwrap().content;
        let one = content(image("1", &["a", "b"], None));
        assert_eq!(one, content(image("2", &["a", "b"], None)));
        assert_ne!(one, content(image("1", &["b", "a"], None)));
        assert_ne!(one, content(image("1", &["a", "b"], Some("X=1"))));
        assert!(facts(&image("1", &[], None)).is_err());
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

    #[test]
    fn variants_are_part_of_the_platform_only() {
        assert_eq!(platform(Arch::Armv7l), "linux/arm/v7");
        assert!(is_for(&image("1", &["a"], None), Arch::Armv7l));
        assert!(!is_for(&image("1", &["a"], None), Arch::Aarch64));
    }
}
