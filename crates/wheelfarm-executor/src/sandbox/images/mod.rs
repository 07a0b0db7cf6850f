//! Builder and runtime images without an engine: a directory each, with the root as it was unpacked and a record.
//!
//! ```text
//!   names/<sha256 of a name>.json      which image a name means: written anew when it comes to mean another
//!   images/<id>/image.json             what the image is: written once
//!   images/<id>/root/                  its files: all layers in one directory, never written to
//! ```
//!
//! An image is made aside and then moved into place, so it is there as a whole or not at all. Nothing changes it after
//! that: an image made again is another directory, unless its content is the same. One that has lost its name stays for
//! as long as something uses it: see [`tidy`].

mod debian;
mod fetch;
mod making;
mod manifest;
mod names;
mod pull;
mod reach;
mod record;
mod registry;
mod tidy;
mod token;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageFacts, ImageSource};
use wheelfarm_types::Arch;

use crate::error::{Result, error, io};
use crate::image::{ImageRole, ListedImage, debian_name, repository};
use crate::sandbox::{Sandbox, Shared};

pub use registry::{RegistryLogins, no_login};

use self::record::ImageRecord;

/// Below it lie the images.
const IMAGES: &str = "images";
/// In the directory of an image: what it is. Whoever uses the image locks it.
pub(crate) const RECORD: &str = "image.json";
/// In the directory of an image: its files.
const ROOT: &str = "root";

/// What the root of a container starts from.
#[derive(Debug)]
pub(crate) struct ImageRoot {
    /// Directories, topmost first, relative to the sandbox's directory.
    pub(crate) layers: Vec<PathBuf>,
    /// While these are open, nobody removes it.
    pub(crate) held: Vec<File>,
    /// What the image sets: `NAME=value`.
    pub(crate) environment: Vec<String>,
    /// What stands before every command.
    pub(crate) entry_point: Vec<String>,
}

impl Sandbox {
    /// The image of `role`, if it is here: under its name, or (pulled ones) under another name of the same repository.
    /// Pulls and makes nothing.
    pub async fn find_image(
        &self,
        image: &BuilderImage,
        role: ImageRole,
    ) -> Result<Option<ImageFacts>> {
        let (shared, image) = (Arc::clone(&self.shared), image.clone());
        let found = tokio::task::spawn_blocking(move || shared.find_image(&image, role));
        found
            .await
            .map_err(|source| io("look for an image")(std::io::Error::other(source)))?
    }

    /// Where images lie, each in a directory named by its id.
    pub fn images_directory(&self) -> PathBuf {
        self.shared.directory.join(IMAGES)
    }

    /// Every image of the catalogue, present or not.
    pub async fn list(&self, catalogue: &Catalogue) -> Result<Vec<ListedImage>> {
        let mut listed = Vec::new();
        for image in catalogue.images() {
            listed.push(ListedImage {
                image: image.clone(),
                builder: self.find_image(image, ImageRole::Builder).await?,
                runtime: self.find_image(image, ImageRole::Runtime).await?,
            });
        }
        Ok(listed)
    }
}

impl Shared {
    fn find_image(&self, image: &BuilderImage, role: ImageRole) -> Result<Option<ImageFacts>> {
        let found = match &image.source {
            ImageSource::Debian { .. } => self.named(&debian_name(image, role))?,
            ImageSource::Registry { reference } => {
                self.find_pulled(reference, image.target.arch)?
            }
        };
        Ok(found.map(|record| record.facts()))
    }

    /// What a container of the image `id` starts from.
    pub(crate) fn image_root(&self, id: &str) -> Result<ImageRoot> {
        let record = self.record(id)?.ok_or_else(|| {
            error(
                ExecutorErrorKind::ImageUnavailable,
                format!("there is no image {id} in {}", self.directory.display()),
            )
        })?;
        let directory = image_directory(id)?;
        Ok(ImageRoot {
            held: vec![self.hold(&directory.join(RECORD))?],
            layers: vec![directory.join(ROOT)],
            environment: record.environment,
            entry_point: record.entry_point,
        })
    }

    /// The record of the image `id`, if it is here.
    fn record(&self, id: &str) -> Result<Option<ImageRecord>> {
        let path = self.directory.join(image_directory(id)?).join(RECORD);
        match fs_err::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| {
                let message = format!("{} is damaged: {source}", path.display());
                error(ExecutorErrorKind::Engine, message)
            }),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io("read what an image is")(source)),
        }
    }

    /// The image called `name`, if it is here.
    fn named(&self, name: &str) -> Result<Option<ImageRecord>> {
        match self.name(name)? {
            Some(named) => self.record(&named.image),
            None => Ok(None),
        }
    }

    fn find_pulled(&self, reference: &str, arch: Arch) -> Result<Option<ImageRecord>> {
        let exact = self.named(reference)?;
        if let Some(record) = exact.filter(|record| record.is_for(arch)) {
            return Ok(Some(record));
        }
        // The newest first.
        for name in self.names()? {
            if repository(&name.name) == repository(reference)
                && let Some(record) = self.record(&name.image)?
                && record.is_for(arch)
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

/// Where the image `id` lies, relative to the sandbox's directory.
fn image_directory(id: &str) -> Result<PathBuf> {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    // It becomes a path.
    if hex.parse::<wheelfarm_types::Digest>().is_err() {
        let message = format!("`{id}` is not the id of an image");
        return Err(error(ExecutorErrorKind::ImageUnavailable, message));
    }
    Ok(Path::new(IMAGES).join(hex))
}
#[cfg(test)]
mod tests;
