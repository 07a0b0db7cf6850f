//! Finds builder and runtime images, and says what they are.

use std::collections::HashMap;

use bollard::models::ImageInspect;
use bollard::query_parameters::ListImagesOptionsBuilder;
use futures::future::try_join_all;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageFacts, ImageSource};
use wheelfarm_types::Arch;

use crate::docker::error::{engine, is_not_found};
use crate::docker::{Docker, Shared};
use crate::error::{Result, error};
use crate::image::{Content, ImageRole, ListedImage, debian_name, repository};

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
                let name = debian_name(image, role);
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
        content: content.digest(),
        size: image
            .size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0),
        id,
    })
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
    fn variants_do_not_tell_images_apart() {
        assert!(is_for(&image("1", &["a"], None), Arch::Armv7l));
        assert!(!is_for(&image("1", &["a"], None), Arch::Aarch64));
    }
}
