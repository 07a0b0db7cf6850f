//! Docker, or Podman behind Docker's interface: the few things in which they differ.

use std::fmt;

use bollard::Docker as Client;

use crate::docker::error::engine;
use crate::error::Result;

/// What Podman calls itself among its components.
const PODMAN: &str = "Podman Engine";

/// Whose engine answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flavour {
    /// Docker itself, or one that does as Docker does.
    #[default]
    Docker,
    /// `podman system service`.
    Podman,
}

impl Flavour {
    /// Asks the engine.
    pub(crate) async fn of(client: &Client) -> Result<Self> {
        let version = client.version().await;
        let version = version.map_err(engine("say what it is"))?;
        let components = version.components.unwrap_or_default();
        let podman = components.iter().any(|component| component.name == PODMAN);
        Ok(if podman { Self::Podman } else { Self::Docker })
    }

    /// Options of an empty file system in memory that everybody may use.
    pub(crate) fn everybodys(self) -> &'static str {
        match self {
            Self::Docker => "mode=1777",
            // It would start with what the image has there.
            Self::Podman => "mode=1777,notmpcopyup",
        }
    }

    /// Options of an empty file system in memory that belongs to `user`.
    pub(crate) fn owned_by(self, user: u32) -> String {
        match self {
            Self::Docker => format!("mode=0755,uid={user},gid={user}"),
            // It knows no owners here; and nobody else is in the container.
            Self::Podman => "mode=0777,notmpcopyup".to_owned(),
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}
