//! Makes images from Debian packages, for where no registry is in reach.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::LogSink;
use wheelfarm_build::catalogue::{BuilderImage, DebianRecipe, ImageFacts};
use wheelfarm_store::digest_of;
use wheelfarm_types::Arch;

use super::making::Layer;
use super::record::{ImageRecord, architecture};
use crate::debian::{make_root, temporary_directory};
use crate::error::{Result, io};
use crate::image::{ImageRole, debian_name};
use crate::sandbox::Sandbox;

impl Sandbox {
    /// Makes a Debian-based image with `mmdebstrap` on this machine. Equal packages give an equal image, which then
    /// stays as it was; another one takes its name.
    pub async fn build_debian(
        &self,
        image: &BuilderImage,
        recipe: &DebianRecipe,
        role: ImageRole,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageFacts> {
        let (image, recipe) = (image.clone(), recipe.clone());
        self.supervise(cancel, |shared, cancel| async move {
            let name = debian_name(&image, role);
            let directory = temporary_directory()?;
            let place = directory.path();
            let tar = make_root(&image, &recipe, role, place, &progress, &cancel).await?;
            let record = describe(tar.clone(), image.target.arch).await?;
            let record = if let Some(same) = shared.record(&record.id)? {
                same
            } else {
                progress(&format!("unpacking {name}"));
                let layers = vec![Layer::Made(tar)];
                let put = shared.put_image(record, layers, &progress, &cancel);
                put.await?
            };
            shared.give_name(&name, &record.id)?;
            shared.tidy_images().await;
            Ok(record.facts())
        })
        .await
    }
}

/// What Docker would say of the image if it imported `tar`: that it sets no variables, and has one layer.
async fn describe(tar: PathBuf, arch: Arch) -> Result<ImageRecord> {
    let failed = "read the file system that mmdebstrap made";
    let hashed = tokio::task::spawn_blocking(move || {
        let mut file = fs_err::File::open(tar)?;
        digest_of(&mut file)
    });
    let layer = match hashed.await {
        Ok(hashed) => hashed.map_err(io(failed))?,
        Err(source) => return Err(io(failed)(std::io::Error::other(source))),
    };
    let mut record = ImageRecord {
        id: String::new(),
        architecture: architecture(arch).to_owned(),
        os: "linux".to_owned(),
        environment: Vec::new(),
        entry_point: Vec::new(),
        layers: vec![format!("sha256:{layer}")],
        size: 0,
    };
    record.id = format!("sha256:{}", record.content().digest());
    Ok(record)
}
