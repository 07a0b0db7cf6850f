//! What package managers download, shared by all environments that a process makes from one builder image: see
//! [`crate::docker`], whose volumes are directories here.

use std::path::PathBuf;
use std::sync::Arc;

use wheelfarm_build::environment::EnvironmentRecipe;

use crate::error::Result;
use crate::packages::shared_downloads;
use crate::sandbox::Shared;
use crate::sandbox::launch::Bind;
use crate::sandbox::place::{MAKING, Place};

/// The mount of the directory for environments of the image `base`, made by the first who asks. It is removed when the
/// process ends.
pub(crate) async fn bind(
    shared: &Arc<Shared>,
    base: &str,
    recipe: &EnvironmentRecipe,
) -> Result<Option<Bind>> {
    let Some(target) = shared_downloads(recipe) else {
        return Ok(None);
    };
    let mut packages = shared.packages.lock().await;
    let source = match packages.get(base) {
        Some(directory) => directory.clone(),
        None => made(shared)?,
    };
    packages.insert(base.to_owned(), source.clone());
    Ok(Some(Bind {
        source,
        target: target.to_owned(),
        read_only: false,
    }))
}

fn made(shared: &Arc<Shared>) -> Result<PathBuf> {
    let mut place = Place::new(Arc::clone(shared), MAKING)?;
    place.keep();
    Ok(place.path.clone())
}
