//! The Remote Execution executor: actions on a cluster that speaks the Remote Execution API (REAPI v2).
//!
//! ```text
//!   Executor::run   inputs by digest ──> Action ──> action cache ── hit ──────────────┐
//!                                          │ miss                                     │
//!                                          ├─ what the storage lacks is sent          ├─> outputs, log
//!                                          └─ Execute, followed until it is done ─────┘
//!   Environments    a local Docker engine makes them; `images` has their root file systems in the storage
//! ```
//!
//! Nothing is scheduled here: the cluster does that. The bytes of sources and wheels go between our store and the
//! cluster's storage, in streams that are verified on both sides.

mod action;
mod images;
mod inputs;
mod kept;
mod outcome;
mod properties;
mod root;
mod sending;
mod services;
mod settings;
mod stored;
#[cfg(test)]
mod wrapper_tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use wheelfarm_reapi::Client;
use wheelfarm_store::Store;

pub use self::root::{LeftOut, RootImage, tree_of_archive};
pub use self::services::Sent;
pub use self::settings::{ImageMode, InputPlace, ReapiSettings};
use crate::docker::Docker;
use crate::error::Result;

/// Runs actions on a Remote Execution cluster. Cheap to clone.
#[derive(Clone)]
pub struct Reapi {
    shared: Arc<Shared>,
}

/// What all work with one cluster shares.
struct Shared {
    client: Client,
    store: Store,
    settings: ReapiSettings,
    /// Makes environments, and has the root file systems that the cluster's storage lacks.
    docker: Option<Docker>,
    /// A directory for what can be made again.
    cache: PathBuf,
    images: images::Images,
    sizes: inputs::Sizes,
    trees: inputs::Trees,
    started: AtomicU64,
    hits: AtomicU64,
}

impl fmt::Debug for Reapi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reapi({})", self.shared.settings.connection.execution)
    }
}

impl Reapi {
    /// Connects to the cluster and asks what it can do. Without `docker` only such environments can be used as others
    /// have made and sent. `cache` is a directory for temporary files as large as a root file system.
    pub async fn connect(
        settings: ReapiSettings,
        store: Store,
        docker: Option<Docker>,
        cache: PathBuf,
    ) -> Result<Self> {
        let client = Client::connect(settings.connection.clone())
            .await
            .map_err(outcome::failed)?;
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                store,
                settings,
                docker,
                cache,
                images: images::Images::default(),
                sizes: inputs::Sizes::default(),
                trees: inputs::Trees::default(),
                started: AtomicU64::new(0),
                hits: AtomicU64::new(0),
            }),
        })
    }

    /// The cluster itself, for who wants to look at it.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Waits until what dropped or cancelled work left behind is removed.
    pub async fn close(&self) {
        if let Some(docker) = &self.shared.docker {
            docker.close().await;
        }
    }
}
