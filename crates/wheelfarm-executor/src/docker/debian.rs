//! Makes images from Debian packages, for where no registry is in reach.

use std::path::Path;
use std::sync::Arc;

use bollard::query_parameters::{CreateImageOptionsBuilder, TagImageOptionsBuilder};
use futures::{StreamExt, TryStreamExt};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, DebianRecipe, ImageFacts};
use wheelfarm_types::Arch;

use crate::debian::{make_root, temporary_directory};
use crate::docker::environment::forget;
use crate::docker::error::engine;
use crate::docker::images::facts;
use crate::docker::{Docker, Shared};
use crate::error::{Result, cancelled, error, io};
use crate::image::{ImageRole, debian_name, platform};

impl Docker {
    /// Makes a Debian-based image with `mmdebstrap` on this machine and imports it. Equal packages give equal
    /// layers. An image of the same name is replaced.
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
            progress(&format!("importing {name}"));
            let import = import(&shared, &name, &tar, image.target.arch);
            cancel
                .run_until_cancelled(import)
                .await
                .ok_or_else(|| cancelled(format!("importing {name}")))?
        })
        .await
    }
}

async fn import(shared: &Arc<Shared>, name: &str, tar: &Path, arch: Arch) -> Result<ImageFacts> {
    let before = shared.inspect(name).await?;
    let file = tokio::fs::File::open(tar).await;
    let file = file.map_err(io("read the file system that mmdebstrap made"))?;
    let body = ReaderStream::with_capacity(file, 1 << 20).map_err(std::io::Error::from);
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        // With its tag in one, since Podman does not look at the tag beside it.
        .repo(name)
        .platform(&platform(arch))
        // A single one: Podman takes the rest for a part of the first.
        .changes(vec!["CMD [\"/bin/sh\"]".to_owned()])
        .build();
    let body = bollard::body_try_stream(body);
    let mut stream = shared
        .transfer
        .create_image(Some(options), Some(body), None);
    while let Some(info) = stream.next().await {
        info.map_err(engine(format!("import {name}")))?;
    }
    let image = shared.inspect(name).await?.ok_or_else(|| {
        error(
            ExecutorErrorKind::Engine,
            format!("the container engine imported {name}, but does not have it"),
        )
    })?;
    let new = facts(&image)?;
    let Some(old) = before.as_ref().map(facts).transpose()? else {
        return Ok(new);
    };
    if old.content != new.content {
        forget(shared, Some(old.id), &new.id).await;
        return Ok(new);
    }
    // Nothing new: the name goes back to the image that running builds know by its id.
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let options = TagImageOptionsBuilder::new()
        .repo(repository)
        .tag(tag)
        .build();
    let tagged = shared.client.tag_image(&old.id, Some(options)).await;
    tagged.map_err(engine(format!("name an image {name}")))?;
    forget(shared, Some(new.id), &old.id).await;
    Ok(old)
}
