//! The Docker executor: the connection to the engine, and what all work with it shares.
//!
//! ```text
//!   Docker::connect ─ run_lock   who owns a container: a lock file that dies with its process
//!     │
//!     ├─ sweep                   removes what a killed run left
//!     ├─ Executor::run           inputs + tools (volumes) -> container -> stream -> outputs
//!     ├─ images                  find, list, pull, make from Debian packages; look into one (contents)
//!     └─ environments            builder image + system packages -> image, manifest, library root
//! ```
//!
//! Uses nothing but the engine's API, and no bind mounts, so the engine may be on another machine or behind a socket
//! mounted into a CI job.

mod about;
mod action;
mod compiler_cache;
mod container;
mod contents;
mod debian;
mod environment;
mod error;
mod export_root;
mod file_system;
mod flavour;
mod images;
mod inputs;
mod keep;
mod load;
mod package_cache;
mod pull;
mod push;
mod questions;
mod scope;
mod services;
mod settings;
mod sweep;
mod tools;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::{ClientVersion, Docker as Client};
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};
use wheelfarm_build::pipeline::Capacity;
use wheelfarm_store::Store;

use crate::docker::compiler_cache::CompilerCaches;
use crate::docker::error::{detail, engine, io_kind};
use crate::docker::package_cache::PackageCaches;
use crate::docker::questions::Questions;
use crate::error::{Result, hinted, io};
use crate::network::HostNetwork;
use crate::run_lock::RunLock;
use crate::supervise::supervise;

pub use about::EngineFacts;
pub use contents::ImageContents;
pub use flavour::Flavour;
pub use push::RegistryLogin;
pub use settings::DockerSettings;
pub use sweep::SweepReport;

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// What the address of a socket begins with.
const UNIX: &str = "unix://";
/// Versions of the API to try, each of which is then negotiated down. Engines since 29 refuse less than 1.44,
/// those before 25 refuse 1.44; and 1.41 is what `--platform` needs.
const API_VERSIONS: [ClientVersion; 2] = [
    ClientVersion {
        major_version: 1,
        minor_version: 44,
    },
    ClientVersion {
        major_version: 1,
        minor_version: 41,
    },
];
/// How long the engine may take for an ordinary request, in seconds.
const REQUEST_SECONDS: u64 = 120;
/// How long it may take for one that moves or writes a whole file system.
const TRANSFER: Duration = Duration::from_secs(60 * 60);

/// Runs actions in a Docker engine, and makes and finds images there. Cheap to clone.
///
/// What it makes is labelled with the lock file of this process, and removed as soon as it is not needed; call
/// [`Docker::close`] before the runtime ends, so that removals that are under way can finish.
#[derive(Clone)]
pub struct Docker {
    pub(crate) shared: Arc<Shared>,
}

/// What tasks of this crate share. The run lock lives as long as the last of them.
pub(crate) struct Shared {
    pub(crate) client: Client,
    /// The same connection with more patience.
    pub(crate) transfer: Client,
    pub(crate) questions: Questions,
    pub(crate) flavour: Flavour,
    pub(crate) store: Store,
    pub(crate) network: HostNetwork,
    pub(crate) lock: RunLock,
    pub(crate) tasks: TaskTracker,
    /// Held while a tool is put into its volume, so that one process does it once.
    pub(crate) tools: Mutex<()>,
    pub(crate) package_caches: PackageCaches,
    pub(crate) compiler_caches: CompilerCaches,
    capacity: OnceCell<Capacity>,
    started: AtomicU64,
    named: AtomicU64,
}

impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Docker(run {})", self.shared.lock.run())
    }
}

impl Docker {
    /// Connects to the engine, agrees on a version of its API, and takes this process's run lock.
    pub async fn connect(settings: DockerSettings) -> Result<Self> {
        let host = settings.host.as_deref().unwrap_or(DEFAULT_HOST);
        let client = negotiate(host).await?;
        let flavour = Flavour::of(&client).await?;
        let directory = settings.runs_dir;
        let lock = RunLock::take(&directory)
            .map_err(io(format!("take a lock in {}", directory.display())))?;
        Ok(Self {
            shared: Arc::new(Shared {
                transfer: client.clone().with_timeout(TRANSFER),
                questions: Questions::new(host, &client)?,
                client,
                flavour,
                store: settings.store,
                network: settings.network,
                lock,
                tasks: TaskTracker::new(),
                tools: Mutex::default(),
                package_caches: PackageCaches::default(),
                compiler_caches: CompilerCaches::default(),
                capacity: OnceCell::new(),
                started: AtomicU64::new(0),
                named: AtomicU64::new(0),
            }),
        })
    }

    /// Waits until what dropped or cancelled work left is removed, and removes what this process shared.
    pub async fn close(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.drop_package_caches().await;
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

    /// How many containers were started so far.
    pub(crate) fn started(&self) -> u64 {
        self.shared.started.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// A name that nothing else in the engine has.
    pub(crate) fn unique_name(&self) -> String {
        let number = self.named.fetch_add(1, Ordering::Relaxed);
        format!("wheelfarm-{}-{number}", self.lock.run())
    }

    /// Counts a started container.
    pub(crate) fn count_start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// How many processor cores and how much memory the engine has.
    pub(crate) async fn capacity(&self) -> Result<Capacity> {
        let capacity = self.capacity.get_or_try_init(|| async {
            let info = self
                .client
                .info()
                .await
                .map_err(engine("say how many processor cores it has"))?;
            let cores = info.ncpu.and_then(|cores| u32::try_from(cores).ok());
            let cores = cores.unwrap_or(1).max(1);
            let memory = info.mem_total.and_then(|memory| u64::try_from(memory).ok());
            Ok::<_, ExecutorError>(Capacity {
                slots: cores,
                cores,
                memory: memory.unwrap_or(u64::MAX),
                each: None,
            })
        });
        capacity.await.copied()
    }
}

async fn negotiate(host: &str) -> Result<Client> {
    let mut refusal = None;
    for version in &API_VERSIONS {
        let client = open(host, version)?;
        match client.negotiate_version().await {
            Ok(client) => return Ok(client),
            Err(source @ bollard::errors::Error::DockerResponseServerError { .. }) => {
                refusal = Some(detail(&source));
            }
            Err(source) => return Err(unavailable(host, &source)),
        }
    }
    let refusal = refusal.unwrap_or_default();
    Err(hinted(
        ExecutorErrorKind::EngineUnavailable,
        format!(
            "the Docker engine at {host} speaks no version of the API that wheelfarm knows: {refusal}"
        ),
        "Docker 20.10 or newer is needed.",
    ))
}

fn open(host: &str, version: &ClientVersion) -> Result<Client> {
    let client = if host.starts_with(UNIX) {
        Client::connect_with_unix(host, REQUEST_SECONDS, version)
    } else if host.starts_with("tcp://") || host.starts_with("http://") {
        Client::connect_with_http(host, REQUEST_SECONDS, version)
    } else {
        return Err(hinted(
            ExecutorErrorKind::EngineUnavailable,
            format!("DOCKER_HOST is `{host}`, which wheelfarm cannot reach"),
            "Use a unix:// or tcp:// address; for ssh, forward the socket: `ssh -L /tmp/docker.sock:/var/run/docker.sock HOST` and DOCKER_HOST=unix:///tmp/docker.sock.",
        ));
    };
    client.map_err(|source| unavailable(host, &source))
}

fn unavailable(host: &str, source: &bollard::errors::Error) -> ExecutorError {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    let hint = match io_kind(source) {
        Some(PermissionDenied) => {
            "Join the group that owns the socket (`sudo usermod -aG docker $USER`, then log in again), or set DOCKER_HOST to a rootless engine's socket."
        }
        Some(NotFound | ConnectionRefused) | None => {
            "Start the daemon (`sudo systemctl start docker`, or `sudo dockerd &`), or set DOCKER_HOST to where it listens."
        }
        Some(_) => "Look whether the daemon runs (`docker version`) and what DOCKER_HOST says.",
    };
    let detail = match source {
        bollard::errors::Error::SocketNotFoundError(_) => "there is no such socket".to_owned(),
        other => detail(other),
    };
    hinted(
        ExecutorErrorKind::EngineUnavailable,
        format!("the Docker engine at {host} does not answer: {detail}"),
        hint,
    )
}
