//! The user's index, proxy, CA and credential settings, as values: the binary reads them, we follow them.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Settings for uv and for our own client, from the same sources.
#[derive(Debug, Clone, Default)]
pub struct IndexSettings {
    /// Environment variables that uv gets on top of what it inherits: the settings of pip's configuration and
    /// `PIP_*` variables in uv's words, where uv's own do not say otherwise.
    pub uv_environment: BTreeMap<String, String>,
    /// uv's settings of the project, as in a `uv.toml`; places in them do not depend on the current directory.
    pub uv_settings: toml::Table,
    /// Whether uv reads no other settings: not those of the user and the system.
    pub uv_settings_alone: bool,
    /// PEM file with the authorities to trust beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Proxy for `http` and `https` addresses that are not in the environment's own variables.
    pub proxy: Option<String>,
    /// User names and passwords by host.
    pub credentials: Vec<Credential>,
    /// Which index answers, without credentials: part of what identifies a resolution.
    pub index_identity: Vec<String>,
}

/// A user name and password for one host, from an index address or a netrc file.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Host, with `:port` where the address has one.
    pub host: String,
    /// User name.
    pub user: String,
    /// Password; may be empty.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Credential({}@{}, password hidden)",
            self.user, self.host
        )
    }
}
