//! Writing wheels and hashed locks to a directory, for runtime stages to install from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::Digest;

use crate::atomic::write_atomic;
use crate::run::BuiltWheel;

/// A wheelhouse that could not be written. What was there before is untouched or replaced as a whole, by file.
#[derive(Debug, thiserror::Error)]
pub enum WheelhouseError {
    /// The directory or a file in it.
    #[error("the wheelhouse could not be written: {0}")]
    Io(#[from] std::io::Error),
    /// A wheel could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes every wheel into `directory`, and for each cell `requirements-<cell>.txt`, for
/// `pip install --require-hashes -r`, and `pylock.<cell>.toml` ([PEP 751](https://peps.python.org/pep-0751/)).
///
/// Files that are there with the right bytes are left alone. Returns the paths of the locks.
pub async fn write_wheelhouse(
    store: &Store,
    wheels: &[BuiltWheel],
    directory: &Path,
) -> Result<Vec<PathBuf>, WheelhouseError> {
    fs_err::create_dir_all(directory)?;
    let mut cells: BTreeMap<String, Vec<&BuiltWheel>> = BTreeMap::new();
    for wheel in wheels {
        let artifact = &wheel.artifact;
        let path = directory.join(artifact.filename.to_string());
        if !has_digest(&path, artifact.size, &artifact.wheel)? {
            write_atomic(&path, &store.get(&artifact.wheel).await?)?;
        }
        cells.entry(wheel.cell.id()).or_default().push(wheel);
    }
    let mut locks = Vec::new();
    for (cell, wheels) in cells {
        for (name, text) in [
            (format!("requirements-{cell}.txt"), requirements(&wheels)),
            (format!("pylock.{cell}.toml"), pylock(&wheels)),
        ] {
            let path = directory.join(name);
            if fs_err::read_to_string(&path).is_ok_and(|present| present == text) {
                locks.push(path);
                continue;
            }
            write_atomic(&path, text.as_bytes())?;
            locks.push(path);
        }
    }
    Ok(locks)
}

/// The system packages that wheels need where they run, by cell; cells whose wheels need none are left out.
pub fn runtime_packages(wheels: &[BuiltWheel]) -> BTreeMap<String, BTreeSet<String>> {
    let mut cells: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for wheel in wheels {
        let packages = wheel.artifact.runtime_packages();
        if !packages.is_empty() {
            let packages = packages.into_iter().map(str::to_owned);
            cells.entry(wheel.cell.id()).or_default().extend(packages);
        }
    }
    cells
}

/// Writes `runtime-packages-<cell>.txt`, one name a line, for each cell of [`runtime_packages`], and takes away what
/// an earlier run wrote for cells of `wheels` that need none by now. Returns the paths of what was written.
pub fn write_runtime_packages(
    wheels: &[BuiltWheel],
    directory: &Path,
) -> Result<Vec<PathBuf>, WheelhouseError> {
    let needed = runtime_packages(wheels);
    let cells: BTreeSet<String> = wheels.iter().map(|wheel| wheel.cell.id()).collect();
    let mut written = Vec::new();
    for cell in cells {
        let path = directory.join(format!("runtime-packages-{cell}.txt"));
        let Some(packages) = needed.get(&cell) else {
            match fs_err::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => continue,
            }
        };
        let mut text = packages.iter().cloned().collect::<Vec<_>>().join("\n");
        text.push('\n');
        write_atomic(&path, text.as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

fn requirements(wheels: &[&BuiltWheel]) -> String {
    let mut text = String::from(
        "# Written by wheelfarm. Install with: pip install --no-index --find-links <this directory> --require-hashes -r <this file>\n",
    );
    for BuiltWheel { artifact, .. } in wheels {
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            text,
            "{}=={} --hash=sha256:{}",
            artifact.project, artifact.version, artifact.wheel
        );
    }
    text
}

fn pylock(wheels: &[&BuiltWheel]) -> String {
    let mut text = String::from("lock-version = \"1.0\"\ncreated-by = \"wheelfarm\"\n");
    if let Some(wheel) = wheels.first() {
        let _infallible = writeln!(
            text,
            "requires-python = \"=={}.*\"",
            wheel.cell.python.release()
        );
    }
    for BuiltWheel { artifact, .. } in wheels {
        // Names and versions are of a checked alphabet: nothing needs escaping.
        let _infallible = write!(
            text,
            "\n[[packages]]\nname = \"{}\"\nversion = \"{}\"\n[[packages.wheels]]\nname = \"{filename}\"\npath = \"{filename}\"\nsize = {}\n[packages.wheels.hashes]\nsha256 = \"{}\"\n",
            artifact.project,
            artifact.version,
            artifact.size,
            artifact.wheel,
            filename = artifact.filename,
        );
    }
    text
}

fn has_digest(path: &Path, size: u64, digest: &Digest) -> std::io::Result<bool> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.len() == size => Ok(Digest::of(fs_err::read(path)?) == *digest),
        _ => Ok(false),
    }
}
