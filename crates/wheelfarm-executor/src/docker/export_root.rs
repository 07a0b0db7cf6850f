//! The root of an image as a tree of the Remote Execution API.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;

use crate::docker::Docker;
use crate::docker::file_system::read_file_system;
use crate::docker::scope::Scope;
use crate::error::{Result, hinted};
use crate::reapi::RootImage;

impl Docker {
    /// The root file system of `image`, which the engine has. Its files lie in one file in the directory `spool`, which
    /// needs room for all of them, until the value is dropped.
    ///
    /// The same image gives the same tree on every engine. Nothing of the image is run.
    pub async fn export_root(
        &self,
        image: &str,
        spool: &Path,
        cancel: &CancellationToken,
    ) -> Result<RootImage> {
        let (image, spool) = (image.to_owned(), spool.to_owned());
        self.supervise(cancel, |shared, cancel| async move {
            let mut scope = Scope::new(shared, format!("export the root of {image}"));
            let exported = export(&mut scope, &image, &spool, &cancel).await;
            scope.close().await;
            exported
        })
        .await
    }
}

async fn export(
    scope: &mut Scope,
    image: &str,
    spool: &Path,
    cancel: &CancellationToken,
) -> Result<RootImage> {
    let found = scope.shared.inspect(image).await?.ok_or_else(|| {
        hinted(
            ExecutorErrorKind::ImageUnavailable,
            format!("the container engine has no image {image}"),
            "`wheelfarm images list` says what there is; `wheelfarm images build` and `wheelfarm images pull` add to it.",
        )
    })?;
    let environment = found.config.and_then(|config| config.env);
    let environment = environment.unwrap_or_default();
    let id = found.id.unwrap_or_else(|| image.to_owned());
    let (directory, token) = (spool.to_owned(), cancel.clone());
    let read = read_file_system(scope, &id, image, cancel, move |stream| {
        RootImage::of_container(stream, environment, &directory, &token)
    });
    read.await?.map_err(|failure| {
        let what = format!("the file system of the image {image}");
        failure.told(&what, spool, ExecutorErrorKind::ImageUnavailable, cancel)
    })
}
