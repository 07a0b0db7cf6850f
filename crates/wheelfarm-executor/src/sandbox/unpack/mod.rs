//! Unpacks archives: layers of images, and whatever else an action needs as files. Runs in the launcher, as the user 0 of
//! the sandbox, so that owners are what the archive says they are.
//!
//! Archives come from registries and are not trusted: nothing is written outside of the directory ([`root`]), whatever
//! names and links say, and how much is written is bounded ([`layer`]).

mod archive;
mod layer;
mod meta;
mod root;

use std::path::Path;

use wheelfarm_types::Digest;

use self::archive::Archive;
use self::layer::{Layer, Owners};
use super::launch::Unpack;

/// Unpacks what `unpack` says, over what is there already; its paths are relative to `directory`.
///
/// `Err` says what is wrong, and with which entry. What was unpacked until then stays.
pub(crate) fn unpack(directory: &Path, unpack: &Unpack) -> Result<(), String> {
    let into = directory.join(&unpack.into);
    let written = unpack_as(
        &directory.join(&unpack.archive),
        &into,
        unpack.whiteouts,
        unpack.digest.as_deref(),
        Owners::here(),
    )?;
    if let Some(summary) = &unpack.summary {
        let said = fs_err::write(directory.join(summary), written.to_string());
        said.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Returns how many bytes of files were written.
fn unpack_as(
    archive: &Path,
    into: &Path,
    whiteouts: bool,
    digest: Option<&str>,
    owners: Owners,
) -> Result<u64, String> {
    let digest = digest.map(str::parse::<Digest>).transpose();
    let digest = digest.map_err(|error| error.to_string())?;
    let mut archive = Archive::open(archive).map_err(|error| error.to_string())?;
    let mut layer = Layer::new(into, whiteouts, owners)?;
    layer.add(&mut archive)?;
    let written = layer.finish()?;
    let found = archive.finish()?;
    match digest {
        Some(digest) if digest != found => Err(format!(
            "it is damaged: unpacked it has the digest sha256:{found} instead of sha256:{digest}"
        )),
        _ => Ok(written),
    }
}

#[cfg(test)]
mod tests;
