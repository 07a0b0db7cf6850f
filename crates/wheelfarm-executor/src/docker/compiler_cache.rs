//! The compiler cache: ccache, and what it keeps, in a volume that outlives the run.
//!
//! ccache must not be a package of the environment, or it would be in the manifest and in every key. So a container of
//! the builder image installs it, copies it with its libraries into the volume and is thrown away. Builds find
//! compilers of the usual names there, before the image's own. Programs in the volume belong to root and cannot be
//! changed by builds; what ccache keeps can, so a hostile build can make later ones wrong: it is off by default.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bollard::models::{Mount, VolumeCreateRequest};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, CompilerCache, ExecutorErrorKind, LogSink};
use wheelfarm_build::environment::EnvironmentRecipe;
use wheelfarm_types::Digest;

use crate::docker::Shared;
use crate::docker::environment;
use crate::docker::error::engine;
use crate::docker::inputs::volume_mount;
use crate::docker::scope::Scope;
use crate::error::{Result, error};

/// Where builds see the volume.
const PLACE: &str = "/tools/compiler-cache";

/// Volumes that are ready, by cache.
pub(crate) type CompilerCaches = Mutex<HashMap<String, String>>;

/// The mount of the action's cache, and the variables that make builds use it. A cache that cannot be had is said in
/// the log, and the build goes on without.
pub(crate) async fn mount(
    scope: &Scope,
    action: &Action,
    sink: &LogSink,
    cancel: &CancellationToken,
) -> Option<(Mount, BTreeMap<String, String>)> {
    let cache = action.compiler_cache.as_ref()?;
    match volume_of(&scope.shared, action, cache, cancel).await {
        Ok(volume) => Some((volume_mount(&volume, PLACE, false), variables())),
        Err(error) => {
            sink(&format!("no compiler cache: {error}"));
            None
        }
    }
}

fn variables() -> BTreeMap<String, String> {
    [
        ("WHEELFARM_COMPILERS", format!("{PLACE}/bin")),
        ("CCACHE_DIR", format!("{PLACE}/data")),
        ("CCACHE_TEMPDIR", "/tmp/.ccache".to_owned()),
        // Environments of one image differ in what they install: the compiler's time says nothing.
        ("CCACHE_COMPILERCHECK", "content".to_owned()),
        ("CCACHE_MAXSIZE", "5G".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

async fn volume_of(
    shared: &Arc<Shared>,
    action: &Action,
    cache: &CompilerCache,
    cancel: &CancellationToken,
) -> Result<String> {
    let mut ready = shared.compiler_caches.lock().await;
    if let Some(volume) = ready.get(&cache.name) {
        return Ok(volume.clone());
    }
    // No label of this run: nothing sweeps it.
    let volume = format!("wheelfarm-compiler-cache-{}", cache.name);
    let request = VolumeCreateRequest {
        name: Some(volume.clone()),
        ..VolumeCreateRequest::default()
    };
    shared
        .client
        .create_volume(request)
        .await
        .map_err(engine("create the volume of the compiler cache"))?;
    let recipe = EnvironmentRecipe {
        image: cache.image.clone(),
        image_content: Digest::of(""),
        manager: cache.manager,
        packages: vec!["ccache".to_owned()],
    };
    let mut scope = Scope::new(Arc::clone(shared), "compiler cache");
    let mount = volume_mount(&volume, PLACE, false);
    let filled = environment::fill_tool(&mut scope, &action.image, &recipe, mount, cancel).await;
    scope.close().await;
    let log = filled?;
    if let Some(log) = log {
        let message = format!("ccache could not be installed in {}: {log}", cache.image);
        return Err(error(ExecutorErrorKind::Packages, message));
    }
    ready.insert(cache.name.clone(), volume.clone());
    Ok(volume)
}
