//! The database of rpm: which packages are installed, and which libraries they own.
//!
//! Three forms are in use: an SQLite file (Fedora, RHEL 9 and later), rpm's own `ndb` (openSUSE), and a hash of
//! Berkeley DB (RHEL 8 and before). All keep the packages' headers as rpm writes them. They are read as they lie in the
//! root; a database that cannot be read has no packages, and neither has one that rpm is writing at the moment.

mod bdb;
mod header;
mod ndb;
mod sqlite;

use std::path::Path;

use super::walk;
use crate::AuditError;
use header::Header;

/// Where databases are: of today, and of old.
const DIRECTORIES: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
/// Largest database that is read, in bytes: a full distribution has some 200 MB.
const LIMIT: u64 = 1 << 30;

/// How many bytes of paths a header may stand for, per byte of its own: many names may share one long directory.
const EXPANSION: usize = 16;

/// An installed package.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) name: String,
    /// With epoch, if it has one, and release: `1:2.3-4.el9`.
    pub(super) version: String,
    pub(super) arch: String,
    pub(super) license: String,
    /// Absolute paths of its shared libraries.
    pub(super) libraries: Vec<String>,
}

/// All packages of the root; empty if it has no database.
pub(super) fn installed(root: &Path) -> Result<Vec<Installed>, AuditError> {
    let read = |path: &str| match walk::resolve_file(root, path) {
        Some(real) => walk::read(root, &real, LIMIT).map(Some),
        None => Ok(None),
    };
    for directory in DIRECTORIES {
        let mut packages = Vec::new();
        let mut take = |blob: &[u8]| packages.extend(package(blob));
        // The newest form first: distributions leave the old one behind when they change.
        if let Some(file) = read(&format!("{directory}/rpmdb.sqlite"))? {
            let log = read(&format!("{directory}/rpmdb.sqlite-wal"))?;
            sqlite::blobs(&file, &log.unwrap_or_default(), b"Packages", &mut take);
        } else if let Some(file) = read(&format!("{directory}/Packages.db"))? {
            ndb::blobs(&file, &mut take);
        } else if let Some(file) = read(&format!("{directory}/Packages"))? {
            bdb::blobs(&file, &mut take);
        }
        if !packages.is_empty() {
            return Ok(packages);
        }
    }
    Ok(Vec::new())
}

/// The package of a header; none for the keys of repositories, which are kept as packages.
fn package(blob: &[u8]) -> Option<Installed> {
    let header = Header::parse(blob)?;
    let text = |tag| header.text(tag);
    let version = format!("{}-{}", text(header::VERSION)?, text(header::RELEASE)?);
    Some(Installed {
        name: text(header::NAME)?,
        version: match header.numbers(header::EPOCH).next() {
            Some(epoch) => format!("{epoch}:{version}"),
            None => version,
        },
        arch: text(header::ARCH)?,
        license: text(header::LICENSE).unwrap_or_default(),
        libraries: libraries(&header, blob.len().saturating_mul(EXPANSION)),
    })
}

/// Files are kept as base names with the numbers of their directories.
fn libraries(header: &Header<'_>, mut budget: usize) -> Vec<String> {
    let directories: Vec<&[u8]> = header.texts(header::DIRNAMES).collect();
    header
        .texts(header::BASENAMES)
        .zip(header.numbers(header::DIRINDEXES))
        .filter(|(name, _)| name.windows(3).any(|part| part == b".so"))
        .filter_map(|(name, directory)| {
            let directory = directories.get(usize::try_from(directory).ok()?)?;
            budget = budget.checked_sub(directory.len() + name.len())?;
            String::from_utf8([directory, name].concat()).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests;
