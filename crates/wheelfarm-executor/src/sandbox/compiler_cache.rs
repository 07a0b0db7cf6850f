//! The compiler cache in a directory: see [`crate::packages::ccache`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, CompilerCache, LogSink};

use crate::error::Result;
use crate::packages::ccache;
use crate::sandbox::Shared;
use crate::sandbox::environment;
use crate::sandbox::launch::Bind;

/// Below it lie the compiler caches.
const CACHES: &str = "compiler-cache";

/// The mount of the action's cache, and the variables that make builds use it. A cache that cannot be had is said in
/// the log, and the build goes on without.
pub(crate) async fn bind(
    shared: &Arc<Shared>,
    action: &Action,
    sink: &LogSink,
    cancel: &CancellationToken,
) -> Option<(Bind, BTreeMap<String, String>)> {
    let cache = action.compiler_cache.as_ref()?;
    match directory_of(shared, action, cache, cancel).await {
        Ok(source) => Some((mount(source), ccache::variables())),
        Err(error) => {
            sink(&format!("no compiler cache: {error}"));
            None
        }
    }
}

fn mount(source: PathBuf) -> Bind {
    Bind {
        source,
        target: ccache::PLACE.to_owned(),
        read_only: false,
    }
}

async fn directory_of(
    shared: &Arc<Shared>,
    action: &Action,
    cache: &CompilerCache,
    cancel: &CancellationToken,
) -> Result<PathBuf> {
    let mut ready = shared.compiler_caches.lock().await;
    if let Some(directory) = ready.get(&cache.name) {
        return Ok(directory.clone());
    }
    let directory = Path::new(CACHES).join(&cache.name);
    shared.make_directory(&directory)?;
    let recipe = ccache::recipe(cache);
    let bind = mount(directory.clone());
    if let Some(log) = environment::fill_tool(shared, &action.image, &recipe, bind, cancel).await? {
        return Err(ccache::failure(cache, &log));
    }
    ready.insert(cache.name.clone(), directory.clone());
    Ok(directory)
}
