//! STUB of images: CORE's replaces it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An archive to unpack.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Unpack {
    /// The archive.
    pub(crate) archive: PathBuf,
    /// The directory that it is unpacked into.
    pub(crate) into: PathBuf,
    /// Whether `.wh.` files remove what lower layers put there.
    pub(crate) whiteouts: bool,
    /// The sha256 that the archive must have once it is decompressed.
    pub(crate) digest: Option<String>,
    /// A file that is told how many bytes were unpacked.
    pub(crate) summary: Option<PathBuf>,
}
