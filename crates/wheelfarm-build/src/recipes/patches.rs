//! Patches: changes of a source before it is built.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use wheelfarm_types::Digest;

/// No patch is larger, in bytes.
pub const MAX_PATCH: usize = 8 << 20;

/// A change of a source, as `patch -p1` reads it. Its content counts for keys, not its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// How the configuration calls it.
    pub name: String,
    /// What it says.
    pub content: Bytes,
}

/// A patch that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the patch `{name}` cannot be used: {reason}")]
pub struct PatchError {
    name: String,
    reason: String,
}

/// Gives the content of a patch that the configuration names.
pub type PatchReader<'a> = &'a dyn Fn(&str) -> std::io::Result<Vec<u8>>;

impl Patch {
    /// The digest of what it says.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.content)
    }

    /// Its name where it is applied, as number `index` of several: order and nothing of the user's paths.
    pub fn input(&self, index: usize) -> String {
        format!("patches/{index:04}.patch")
    }

    pub(super) fn read(name: &str, read: PatchReader<'_>) -> Result<Self, PatchError> {
        let error = |reason: String| PatchError {
            name: name.to_owned(),
            reason,
        };
        let content = read(name).map_err(|source| error(source.to_string()))?;
        if content.len() > MAX_PATCH {
            return Err(error(format!("it is larger than {} MiB", MAX_PATCH >> 20)));
        }
        Ok(Self {
            name: name.to_owned(),
            content: content.into(),
        })
    }
}

impl Serialize for Patch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}
