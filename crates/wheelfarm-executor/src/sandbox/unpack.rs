//! A stub: images come with another change.

use std::path::Path;

use crate::sandbox::launch::Unpack;

/// A stub.
pub(crate) fn unpack(_directory: &Path, _unpack: &Unpack) -> Result<(), String> {
    Err("archives cannot be unpacked yet".to_owned())
}
