//! What package managers download, shared by all environments that a process makes from one builder image.
//!
//! Reading the package lists of a distribution takes longer than installing most recipes' packages, and every
//! environment would do it again, and download again what another had. So they share a volume: the first one fills
//! it, and it is removed when the process ends. It is no input of anything: what was installed is in the manifest.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::Mount;
use tokio::sync::Mutex;
use wheelfarm_build::environment::EnvironmentRecipe;

use crate::docker::inputs::volume_mount;
use crate::docker::scope::{Scope, remove};
use crate::docker::{Docker, Shared};
use crate::error::Result;
use crate::packages::shared_downloads;

/// Volumes by builder image.
pub(crate) type PackageCaches = Mutex<HashMap<String, String>>;

/// The mount of the volume for environments of the image `base`, made by the first who asks.
pub(crate) async fn mount(
    shared: &Arc<Shared>,
    base: &str,
    recipe: &EnvironmentRecipe,
) -> Result<Option<Mount>> {
    let Some(target) = shared_downloads(recipe) else {
        return Ok(None);
    };
    let mut caches = shared.package_caches.lock().await;
    if let Some(volume) = caches.get(base) {
        return Ok(Some(volume_mount(volume, target, false)));
    }
    let mut scope = Scope::new(Arc::clone(shared), format!("packages of {}", recipe.image));
    let volume = scope.volume(HashMap::new()).await?;
    scope.keep_volume(&volume);
    let mount = volume_mount(&volume, target, false);
    caches.insert(base.to_owned(), volume);
    Ok(Some(mount))
}

impl Docker {
    /// Removes the volumes; the next environment fills a new one.
    pub(crate) async fn drop_package_caches(&self) {
        let caches = std::mem::take(&mut *self.shared.package_caches.lock().await);
        let volumes: Vec<_> = caches.into_values().collect();
        remove(&self.shared, &[], &volumes).await;
    }
}
