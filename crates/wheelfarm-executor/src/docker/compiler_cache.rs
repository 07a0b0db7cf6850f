//! The compiler cache in a volume: see [`crate::packages::ccache`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bollard::models::{Mount, VolumeCreateRequest};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, CompilerCache, LogSink};

use crate::docker::Shared;
use crate::docker::environment;
use crate::docker::error::engine;
use crate::docker::inputs::volume_mount;
use crate::docker::scope::Scope;
use crate::error::Result;
use crate::packages::ccache;

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
        Ok(volume) => Some((
            volume_mount(&volume, ccache::PLACE, false),
            ccache::variables(),
        )),
        Err(error) => {
            sink(&format!("no compiler cache: {error}"));
            None
        }
    }
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
    let recipe = ccache::recipe(cache);
    let mut scope = Scope::new(Arc::clone(shared), "compiler cache");
    let mount = volume_mount(&volume, ccache::PLACE, false);
    let filled = environment::fill_tool(&mut scope, &action.image, &recipe, mount, cancel).await;
    scope.close().await;
    let log = filled?;
    if let Some(log) = log {
        return Err(ccache::failure(cache, &log));
    }
    ready.insert(cache.name.clone(), volume.clone());
    Ok(volume)
}
