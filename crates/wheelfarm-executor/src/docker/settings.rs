//! What the executor is told: it reads no environment variables of its own.

use std::path::PathBuf;

use wheelfarm_store::Store;

use crate::network::HostNetwork;

/// How to reach the engine, and what it works with.
#[derive(Debug, Clone)]
pub struct DockerSettings {
    /// The value of `DOCKER_HOST`: `unix:///run/docker.sock`, `tcp://host:2375`. The default Unix socket if `None`.
    pub host: Option<String>,
    /// Where the lock files of running processes lie: one directory per user and machine.
    pub runs_dir: PathBuf,
    /// Where inputs come from.
    pub store: Store,
    /// How containers that may use the network reach it.
    pub network: HostNetwork,
}
