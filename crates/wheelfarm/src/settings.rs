//! Arguments, environment and configuration made into the services that commands use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::recipes::parse_size;
use wheelfarm_store::{CacheSettings, Settings as StoreSettings, Store};
use wheelfarm_types::Arch;

use crate::cli::GlobalArgs;
use crate::config::Config;
use crate::environment::{cache_home, now, variable, variables};
use crate::exit::Failure;

/// How the environment variables begin that are options of a remote store.
const STORE_VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
/// Bytes of a remote store that are kept on this machine where nothing else is said.
const STORE_CACHE: u64 = 20 << 30;

/// Where things are kept.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// For what can be made again.
    pub(crate) cache: PathBuf,
    /// For images and containers that no engine keeps.
    pub(crate) sandbox: PathBuf,
    /// The store.
    pub(crate) store: Store,
}

impl Places {
    pub(crate) async fn open(global: &GlobalArgs, config: &Config) -> Result<Self, Failure> {
        let cache = cache_directory(global)?;
        let store = open_store(global, config, &cache).await?;
        let sandbox = sandbox_directory(global, &cache)?;
        Ok(Self {
            cache,
            sandbox,
            store,
        })
    }
}

/// Where what can be made again is kept. It need not be there yet.
pub(crate) fn cache_directory(global: &GlobalArgs) -> Result<PathBuf, Failure> {
    let named = global.cache.clone();
    let cache = named.or_else(|| Some(cache_home()?.join("wheelfarm")));
    let cache = cache.ok_or_else(|| {
        Failure::usage("there is no cache directory: neither HOME nor XDG_CACHE_HOME is set")
            .with_hint(Some(
                "name one with `--cache` or WHEELFARM_CACHE".to_owned(),
            ))
    })?;
    // Programs that we run elsewhere get paths into it.
    std::path::absolute(cache)
        .map_err(|error| Failure::machine(format!("the cache directory: {error}")))
}

/// Where the sandbox keeps its images.
pub(crate) fn sandbox_directory(global: &GlobalArgs, cache: &Path) -> Result<PathBuf, Failure> {
    let named = global.sandbox_dir.clone();
    std::path::absolute(named.unwrap_or_else(|| cache.join("sandbox")))
        .map_err(|error| Failure::machine(format!("the sandbox's directory: {error}")))
}

/// Opens the store that is named, or the one in the cache directory.
pub(crate) async fn open_store(
    global: &GlobalArgs,
    config: &Config,
    cache: &Path,
) -> Result<Store, Failure> {
    let address = global
        .store
        .clone()
        .or_else(|| config.farm.store.clone())
        .unwrap_or_else(|| cache.join("store").display().to_string());
    Ok(Store::open_with(&address, store_settings(cache)?).await?)
}

/// What a remote store needs beside its address. Its options are the environment variables of its service's own tools.
fn store_settings(cache: &Path) -> Result<StoreSettings, Failure> {
    let mut options = variables(&STORE_VARIABLES);
    if let Some(path) = variable("AWS_CA_BUNDLE") {
        let text = fs_err::read_to_string(path)
            .map_err(|error| Failure::usage(format!("AWS_CA_BUNDLE: {error}")))?;
        options.push(("ca_bundle".to_owned(), text));
    }
    let limit = match variable("WHEELFARM_STORE_CACHE") {
        Some(text) => parse_size(&text)
            .map_err(|error| Failure::usage(format!("WHEELFARM_STORE_CACHE: {error}")))?,
        None => STORE_CACHE,
    };
    Ok(StoreSettings {
        options,
        cache: (limit > 0).then(|| CacheSettings {
            directory: cache.join("objects"),
            limit,
        }),
        clock: Arc::new(now),
    })
}

/// This machine's architecture.
pub(crate) fn host_arch() -> Result<Arch, Failure> {
    Arch::host().ok_or_else(|| {
        Failure::machine(format!(
            "no wheels exist for {} machines",
            std::env::consts::ARCH
        ))
    })
}

/// A token that Ctrl-C or a polite end fires; a second Ctrl-C ends the program at once.
pub(crate) fn cancellation() -> CancellationToken {
    let token = CancellationToken::new();
    let fired = token.clone();
    tokio::spawn(async move {
        let kind = tokio::signal::unix::SignalKind::terminate();
        let Ok(mut terminate) = tokio::signal::unix::signal(kind) else {
            return;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        fired.cancel();
        // Nothing to do about an error: the first one was received.
        if tokio::signal::ctrl_c().await.is_ok() {
            end_at_once();
        }
    });
    token
}

#[expect(
    clippy::exit,
    reason = "the user asked twice; what is left behind is swept by the next run"
)]
fn end_at_once() {
    std::process::exit(130);
}
