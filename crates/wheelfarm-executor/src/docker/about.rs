//! What the engine says of itself.

use crate::docker::Docker;
use crate::docker::error::engine;
use crate::docker::flavour::Flavour;
use crate::error::Result;

/// An engine, as it describes itself (`GET /info`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineFacts {
    /// Whose it is.
    pub flavour: Flavour,
    /// Its version: `28.5.1`.
    pub version: String,
    /// The system it runs on: `Debian GNU/Linux 12 (bookworm)`.
    pub system: String,
    /// The architecture, as `uname -m` says it.
    pub architecture: String,
    /// Processor cores.
    pub cores: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// How it keeps layers: `overlay2`, `vfs`.
    pub storage_driver: String,
    /// Limits that it cannot hold containers to, in words: `memory`, `processes`, `processor time`.
    pub missing_limits: Vec<&'static str>,
}

impl Docker {
    /// Asks the engine what it is.
    pub async fn about(&self) -> Result<EngineFacts> {
        let info = self.shared.client.info().await;
        let info = info.map_err(engine("describe itself"))?;
        let limits = [
            (info.memory_limit, "memory"),
            (info.pids_limit, "processes"),
            (info.cpu_cfs_quota, "processor time"),
        ];
        let missing = limits.into_iter().filter(|(held, _)| *held == Some(false));
        Ok(EngineFacts {
            flavour: self.shared.flavour,
            version: info.server_version.unwrap_or_default(),
            system: info.operating_system.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
            cores: info
                .ncpu
                .and_then(|cores| u32::try_from(cores).ok())
                .unwrap_or(0),
            memory: info
                .mem_total
                .and_then(|bytes| u64::try_from(bytes).ok())
                .unwrap_or(0),
            storage_driver: info.driver.unwrap_or_default(),
            missing_limits: missing.map(|(_, name)| name).collect(),
        })
    }
}
