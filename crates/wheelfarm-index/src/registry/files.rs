//! Facts of a published file.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wheelfarm_types::{Digest, ProjectName};

use crate::registry::Channel;

/// A file as it was published. Nothing of it ever changes; what may change beside it is in [`super::File`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedFile {
    /// Its name, of a wheel or a source distribution.
    pub filename: String,
    /// The project, normalised.
    pub project: ProjectName,
    /// The version, as its METADATA spells it.
    pub version: String,
    /// Its bytes.
    pub blob: Digest,
    /// How many they are.
    pub size: u64,
    /// When it was published here.
    pub uploaded: DateTime<Utc>,
    /// Which Pythons it runs on, as its METADATA says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    /// A wheel's METADATA, kept as a blob of its own ([PEP 658](https://peps.python.org/pep-0658/)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataFile>,
    /// What its audit found, as JSON: kept, and not for download as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditFile>,
    /// Its first line about itself (`Summary` of METADATA).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// A wheel's METADATA as a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataFile {
    /// Its bytes.
    pub blob: Digest,
    /// How many they are.
    pub size: u64,
}

/// The report of a wheel's audit as a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFile {
    /// Its bytes.
    pub blob: Digest,
    /// How many they are.
    pub size: u64,
}

/// Where a published file came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Somebody uploaded it.
    Uploaded,
    /// The farm built it; its records know more.
    Built,
    /// It was promoted from another channel.
    Promoted {
        /// That channel.
        from: Channel,
    },
}

/// That a file must not be chosen by itself any more ([PEP 592](https://peps.python.org/pep-0592/)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yank {
    /// Why, for who installs it all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
