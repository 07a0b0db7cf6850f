//! Writing wheels and hashed locks to a directory, for runtime stages to install from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::{Digest, ProjectName, PythonVersion, Version, WheelFilename};

use crate::atomic::{AtomicFile, write_atomic};
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
    /// A wheel could not be downloaded.
    #[error("{0}")]
    Download(String),
    /// Two wheels that cannot lie in one directory.
    #[error("two wheels are called `{0}` and have other bytes")]
    TwoContents(String),
}

/// A wheel to be delivered: what is to be known of it, wherever its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// What it is for: `cp311-manylinux_2_36_x86_64`.
    pub cell: String,
    /// The cell's Python.
    pub python: PythonVersion,
    /// Project.
    pub project: ProjectName,
    /// Version.
    pub version: Version,
    /// Its name.
    pub filename: WheelFilename,
    /// Its bytes.
    pub sha256: Digest,
    /// How many they are.
    pub size: u64,
    /// System packages that it needs where it runs.
    pub runtime_packages: BTreeSet<String>,
}

impl From<&BuiltWheel> for Delivered {
    fn from(wheel: &BuiltWheel) -> Self {
        let artifact = &wheel.artifact;
        let packages = artifact.runtime_packages();
        Self {
            cell: wheel.cell.id(),
            python: wheel.cell.python,
            project: artifact.project.clone(),
            version: artifact.version.clone(),
            filename: artifact.filename.clone(),
            sha256: artifact.wheel,
            size: artifact.size,
            runtime_packages: packages.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// Writes every wheel into `directory`, as [`write_delivered`], from `store`, and what it needs where it runs, as
/// [`write_runtime_packages`]. Returns the paths of the locks.
pub async fn write_wheelhouse(
    store: &Store,
    wheels: &[BuiltWheel],
    directory: &Path,
) -> Result<Vec<PathBuf>, WheelhouseError> {
    let wheels: Vec<_> = wheels.iter().map(Delivered::from).collect();
    let bring = async |wheel: &Delivered, out: &mut AtomicFile| {
        let mut chunks = store.whole(&wheel.sha256).await?.into_stream();
        while let Some(chunk) = chunks.try_next().await? {
            out.writer().write_all(&chunk)?;
        }
        Ok(())
    };
    let locks = write_delivered(&wheels, directory, bring).await?;
    write_runtime_packages(&wheels, directory)?;
    Ok(locks)
}

/// Writes every wheel into `directory`, with the bytes that `bring` writes, which checks them, and for each cell
/// `requirements-<cell>.txt`, for `pip install --require-hashes -r`, and `pylock.<cell>.toml`
/// ([PEP 751](https://peps.python.org/pep-0751/)).
///
/// Files that are there with the right bytes are left alone. Returns the paths of the locks.
pub async fn write_delivered(
    wheels: &[Delivered],
    directory: &Path,
    bring: impl AsyncFn(&Delivered, &mut AtomicFile) -> Result<(), WheelhouseError>,
) -> Result<Vec<PathBuf>, WheelhouseError> {
    fs_err::create_dir_all(directory)?;
    for wheel in wheels {
        let path = directory.join(wheel.filename.to_string());
        if !has_digest(&path, wheel.size, &wheel.sha256)? {
            let mut file = AtomicFile::create(&path)?;
            bring(wheel, &mut file).await?;
            file.commit()?;
        }
    }
    write_locks(wheels, directory)
}

/// Writes the [`locks`] of `wheels` into `directory`. Files that are there with the right text are left alone. Returns
/// their paths.
pub(crate) fn write_locks(
    wheels: &[Delivered],
    directory: &Path,
) -> Result<Vec<PathBuf>, WheelhouseError> {
    let mut written = Vec::new();
    for (name, text) in locks(wheels) {
        let path = directory.join(name);
        if !fs_err::read_to_string(&path).is_ok_and(|present| present == text) {
            write_atomic(&path, text.as_bytes())?;
        }
        written.push(path);
    }
    Ok(written)
}

/// For each cell the names and texts of `requirements-<cell>.txt` and `pylock.<cell>.toml`.
pub(crate) fn locks(wheels: &[Delivered]) -> Vec<(String, String)> {
    let mut cells: BTreeMap<&str, Vec<&Delivered>> = BTreeMap::new();
    for wheel in wheels {
        cells.entry(&wheel.cell).or_default().push(wheel);
    }
    let texts = cells.into_iter().flat_map(|(cell, wheels)| {
        [
            (format!("requirements-{cell}.txt"), requirements(&wheels)),
            (format!("pylock.{cell}.toml"), pylock(&wheels)),
        ]
    });
    texts.collect()
}

/// The system packages that wheels need where they run, by cell; cells whose wheels need none are left out.
pub fn runtime_packages(wheels: &[Delivered]) -> BTreeMap<String, BTreeSet<String>> {
    let mut cells: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for wheel in wheels
        .iter()
        .filter(|wheel| !wheel.runtime_packages.is_empty())
    {
        let packages = wheel.runtime_packages.iter().cloned();
        cells
            .entry(wheel.cell.clone())
            .or_default()
            .extend(packages);
    }
    cells
}

/// Writes `runtime-packages-<cell>.txt`, one name a line, for each cell of [`runtime_packages`], and takes away what
/// an earlier run wrote for cells of `wheels` that need none by now. Returns the paths of what was written.
pub fn write_runtime_packages(
    wheels: &[Delivered],
    directory: &Path,
) -> Result<Vec<PathBuf>, WheelhouseError> {
    let needed = runtime_packages(wheels);
    let cells: BTreeSet<&str> = wheels.iter().map(|wheel| wheel.cell.as_str()).collect();
    let mut written = Vec::new();
    for cell in cells {
        let path = directory.join(format!("runtime-packages-{cell}.txt"));
        let Some(packages) = needed.get(cell) else {
            match fs_err::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => continue,
            }
        };
        write_atomic(&path, package_list(packages).as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

/// The text of `runtime-packages-<cell>.txt`.
pub(crate) fn package_list(packages: &BTreeSet<String>) -> String {
    let mut text = packages.iter().cloned().collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

fn requirements(wheels: &[&Delivered]) -> String {
    let mut text = String::from(
        "# Written by wheelfarm. Install with: pip install --no-index --find-links <this directory> --require-hashes -r <this file>\n",
    );
    for wheel in wheels {
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            text,
            "{}=={} --hash=sha256:{}",
            wheel.project, wheel.version, wheel.sha256
        );
    }
    text
}

fn pylock(wheels: &[&Delivered]) -> String {
    let mut text = String::from("lock-version = \"1.0\"\ncreated-by = \"wheelfarm\"\n");
    if let Some(wheel) = wheels.first() {
        let _infallible = writeln!(text, "requires-python = \"=={}.*\"", wheel.python.release());
    }
    for wheel in wheels {
        // Names and versions are of a checked alphabet: nothing needs escaping.
        let _infallible = write!(
            text,
            "\n[[packages]]\nname = \"{}\"\nversion = \"{}\"\n[[packages.wheels]]\nname = \"{filename}\"\npath = \"{filename}\"\nsize = {}\n[packages.wheels.hashes]\nsha256 = \"{}\"\n",
            wheel.project,
            wheel.version,
            wheel.size,
            wheel.sha256,
            filename = wheel.filename,
        );
    }
    text
}

/// Whether the file at `path` is there with these bytes.
pub(crate) fn has_digest(path: &Path, size: u64, digest: &Digest) -> std::io::Result<bool> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.len() == size => Ok(digest_of(path)? == *digest),
        _ => Ok(false),
    }
}

/// The digest of the file at `path`, which is read in pieces.
pub(crate) fn digest_of(path: &Path) -> std::io::Result<Digest> {
    wheelfarm_store::digest_of(&mut fs_err::File::open(path)?)
}
