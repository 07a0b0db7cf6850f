//! What the sandbox is told: it reads no environment variables of its own.

use std::path::PathBuf;

use wheelfarm_store::Store;

use crate::network::HostNetwork;
use crate::sandbox::{Launcher, RegistryLogins};

/// Where the sandbox keeps what it makes, and what it works with.
#[derive(Clone)]
pub struct SandboxSettings {
    /// Where images, environments, tools and running actions lie: one directory per user and machine.
    pub directory: PathBuf,
    /// Where inputs come from.
    pub store: Store,
    /// How containers that may use the network reach it.
    pub network: HostNetwork,
    /// What starts [`crate::sandbox::launcher_main`].
    pub launcher: Launcher,
    /// Who pulls from a registry.
    pub registry_login: RegistryLogins,
}
