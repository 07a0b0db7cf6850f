//! The sandbox: containers with no engine at all. An OCI runtime of the distribution confines a process; the rest is
//! here.
//!
//! ```text
//!   Sandbox::connect ─ machine   what this machine allows: namespaces, ids, cgroups, the runtime
//!     │              └ run_lock  who owns a directory: a lock file that dies with its process
//!     ├─ launch ── launcher      our own program again, a child that makes namespaces and mounts, then starts the runtime
//!     ├─ images                  pulled or made of Debian packages, unpacked once
//!     ├─ environments            builder image + system packages: a directory over the image's
//!     ├─ Executor::run           inputs + tools (directories) -> container -> streams -> outputs
//!     └─ sweep                   removes what killed runs left: directories, never processes
//! ```
//!
//! A container's root is an overlay of directories, and everything that runs ends with the launcher, which ends when
//! this process does.

mod action;
mod bundle;
mod cgroup;
mod compiler_cache;
mod enter;
mod environment;
mod images;
mod keep;
mod launch;
mod launcher;
mod machine;
mod package_cache;
mod place;
mod services;
mod settings;
mod shelf;
mod streams;
mod sweep;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wheelfarm_store::Store;

use crate::error::{Result, io};
use crate::network::HostNetwork;
use crate::run_lock::RunLock;
use crate::supervise::supervise;

pub use images::{RegistryLogins, no_login};
pub use launch::Launcher;
pub use launcher::launcher_main;
pub use machine::{Extent, Ids, Machine, Runtime};

pub use settings::SandboxSettings;
pub use sweep::SandboxSweep;

/// Below it lie the lock files of running processes.
const RUNS: &str = "runs";

/// Runs actions in containers of its own, and makes and finds images for them. Cheap to clone.
///
/// Call [`Sandbox::close`] before the runtime ends, so that removals that are under way can finish.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) shared: Arc<Shared>,
}

/// What tasks of the sandbox share. The run lock lives as long as the last of them.
pub(crate) struct Shared {
    /// Everything is below it; paths are relative to it where nothing else is said.
    pub(crate) directory: PathBuf,
    pub(crate) store: Store,
    pub(crate) network: HostNetwork,
    registry_login: RegistryLogins,
    pub(crate) machine: Machine,
    pub(crate) lock: RunLock,
    pub(crate) tasks: TaskTracker,
    /// Held while a tool is put onto the shelf, so that one process does it once.
    shelf: Mutex<()>,
    /// What package managers downloaded, by image: directories of this run.
    packages: Mutex<HashMap<String, PathBuf>>,
    /// Compiler caches that are ready.
    compiler_caches: Mutex<HashMap<String, PathBuf>>,
    started: AtomicU64,
    named: AtomicU64,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sandbox(run {})", self.shared.lock.run())
    }
}

impl Sandbox {
    /// Takes this process's run lock, and finds out what this machine allows.
    pub async fn connect(settings: SandboxSettings) -> Result<Self> {
        let SandboxSettings {
            directory,
            store,
            network,
            launcher,
            registry_login,
        } = settings;
        fs_err::create_dir_all(&directory).map_err(io("make the directory of the sandbox"))?;
        // With what they guard: whoever finds a directory here finds its owner's lock.
        let lock =
            RunLock::take(&directory.join(RUNS)).map_err(io("take a lock of the sandbox"))?;
        let machine = Machine::probe(&launcher, &directory, lock.run()).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                store,
                network,
                registry_login,
                machine,
                lock,
                tasks: TaskTracker::new(),
                shelf: Mutex::default(),
                packages: Mutex::default(),
                compiler_caches: Mutex::default(),
                started: AtomicU64::new(0),
                named: AtomicU64::new(0),
            }),
        })
    }

    /// What this machine allows.
    pub fn machine(&self) -> &Machine {
        &self.shared.machine
    }

    /// The name of this process's run: directories of it are called so.
    pub fn run_name(&self) -> &str {
        self.shared.lock.run()
    }

    /// Where everything lies.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// Waits until what dropped or cancelled work left is removed, and removes what this process shared.
    pub async fn close(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let packages = std::mem::take(&mut *self.shared.packages.lock().await);
        for directory in packages.into_values() {
            self.shared.remove(&directory).await;
        }
    }

    /// Runs `work` to its end, whether or not the caller waits for it.
    pub(crate) async fn supervise<T, F>(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(Arc<Shared>, CancellationToken) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        supervise(&self.shared.tasks, cancel, |token| work(shared, token)).await
    }
}

impl Shared {
    /// A name that nothing else on this machine has.
    pub(crate) fn unique_name(&self) -> String {
        let number = self.named.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.lock.run())
    }

    /// Counts a started container.
    pub(crate) fn count_start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// How many containers were started so far.
    pub(crate) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }
}
