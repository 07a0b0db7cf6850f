//! The entries of an archive, checked against the limits.

use wheelfarm_types::{ProjectName, WheelFilename};
use zip::{ZipArchive, result::ZipError};

use crate::packed::Place;
use crate::source::Reader;
use crate::{Limits, WheelProblem};

/// One entry of the archive, as its central directory declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path in the archive, `/`-separated; a directory's ends in `/`.
    pub name: String,
    /// Unpacked size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: EntryKind,
    /// Whether any execute permission is set.
    pub executable: bool,
    /// File type and permissions, as `st_mode` has them; 0 if the archive does not state any.
    pub mode: u32,
    /// `2024-01-31 10:20:30`, in an unknown time zone; empty if the archive states no time.
    pub modified: String,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link: its content is the target. Installers write it as a small text file.
    Symlink,
}

/// Checks a number against its limit.
pub(crate) fn bound(what: &str, actual: u64, limit: u64) -> Result<(), WheelProblem> {
    if actual > limit {
        return Err(WheelProblem::TooLarge {
            what: what.to_owned(),
            actual,
            limit,
        });
    }
    Ok(())
}

/// What the zip reader found wrong.
pub(crate) fn broken(error: ZipError) -> WheelProblem {
    match error {
        ZipError::Io(error) => WheelProblem::Zip(error.to_string()),
        other => WheelProblem::Zip(other.to_string()),
    }
}

/// All entries and where their data are, in the archive's order.
pub(crate) fn entries(
    zip: &mut ZipArchive<Reader>,
    limits: Limits,
) -> Result<(Vec<Entry>, Vec<Place>), WheelProblem> {
    let mut total = 0_u64;
    (0..zip.len())
        .map(|index| {
            let entry = zip.by_index_raw(index).map_err(broken)?;
            let name = std::str::from_utf8(entry.name_raw())
                .map_err(|_| {
                    let name = entry.name_raw().escape_ascii();
                    WheelProblem::Zip(format!("the name of entry `{name}` is not UTF-8"))
                })?
                .to_owned();
            bound(&format!("`{name}`"), entry.size(), limits.member)?;
            total = total.saturating_add(entry.size());
            bound("the unpacked size", total, limits.total)?;
            if entry.encrypted() {
                return Err(WheelProblem::Encrypted(name));
            }
            let kind = if name.ends_with('/') {
                EntryKind::Directory
            } else if entry.is_symlink() {
                EntryKind::Symlink
            } else {
                EntryKind::File
            };
            let executable =
                kind == EntryKind::File && entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            let start = entry
                .data_start()
                .ok_or_else(|| WheelProblem::Zip(format!("`{name}` has no data")))?;
            let place = Place {
                start,
                packed: entry.compressed_size(),
                size: entry.size(),
                crc: entry.crc32(),
                method: entry.compression(),
            };
            let entry = Entry {
                name,
                size: place.size,
                kind,
                executable,
                mode: entry.unix_mode().unwrap_or(0),
                modified: entry
                    .last_modified()
                    .map(|time| time.to_string())
                    .unwrap_or_default(),
            };
            Ok((entry, place))
        })
        .collect()
}

/// The one top-level `.dist-info` directory. Its name must mean the file name's project: installers compare
/// them too, and a wheel could otherwise be published as one project and installed as another.
pub(crate) fn find_dist_info(
    entries: &[Entry],
    filename: &WheelFilename,
) -> Result<String, WheelProblem> {
    let mut found: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.name.split_once('/'))
        .map(|(top, _)| top)
        .filter(|top| top.ends_with(".dist-info"))
        .collect();
    found.sort_unstable();
    found.dedup();
    let [one] = found.as_slice() else {
        return Err(WheelProblem::DistInfo(match found.as_slice() {
            [] => "there is no `.dist-info` directory in it".to_owned(),
            several => format!(
                "it has several `.dist-info` directories: {}",
                several.join(", ")
            ),
        }));
    };
    let project = one
        .split_once('-')
        .and_then(|(name, _)| name.parse::<ProjectName>().ok());
    if project.is_none() || project != filename.project().ok() {
        return Err(WheelProblem::DistInfo(format!(
            "`{one}` does not belong to the project that the file name gives"
        )));
    }
    Ok((*one).to_owned())
}
