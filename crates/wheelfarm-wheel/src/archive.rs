//! An opened wheel.

use std::collections::HashMap;
use std::fmt;
use std::io::{Cursor, Read};
use std::path::Path;

use bytes::Bytes;
use wheelfarm_types::WheelFilename;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

use crate::entries::{bound, broken, entries, find_dist_info};
use crate::limits::METADATA_LIMIT;
use crate::{
    Entry, Headers, Limits, Metadata, Record, RecordFinding, WheelError, WheelInfo, WheelProblem,
    names,
};

/// A wheel whose directory has been checked; members are inflated when they are asked for.
///
/// Cloning is cheap, and all methods take `&self`: several threads may read one wheel.
#[derive(Clone)]
pub struct Wheel {
    filename: WheelFilename,
    bytes: Bytes,
    zip: ZipArchive<Cursor<Bytes>>,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    limits: Limits,
    dist_info: String,
}

impl Wheel {
    /// Opens the wheel at `path`; its name must be a wheel file name.
    pub fn open(path: &Path) -> Result<Self, WheelError> {
        Self::open_with(path, Limits::default())
    }

    /// Like [`Wheel::open`], with other limits.
    pub fn open_with(path: &Path, limits: Limits) -> Result<Self, WheelError> {
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        let read = || {
            let filename = name.parse()?;
            let file = fs_err::File::open(path)?;
            bound("the archive", file.metadata()?.len(), limits.archive)?;
            let mut bytes = Vec::new();
            // The file may grow between the check and the reading.
            file.take(limits.archive).read_to_end(&mut bytes)?;
            Ok((filename, bytes))
        };
        let (filename, bytes) = read().map_err(|problem: WheelProblem| problem.of(&name))?;
        Self::from_bytes_with(bytes, filename, limits)
    }

    /// Opens a wheel held in memory.
    pub fn from_bytes(
        bytes: impl Into<Bytes>,
        filename: WheelFilename,
    ) -> Result<Self, WheelError> {
        Self::from_bytes_with(bytes, filename, Limits::default())
    }

    /// Like [`Wheel::from_bytes`], with other limits.
    pub fn from_bytes_with(
        bytes: impl Into<Bytes>,
        filename: WheelFilename,
        limits: Limits,
    ) -> Result<Self, WheelError> {
        let bytes = bytes.into();
        let checked = || {
            bound("the archive", bytes.len() as u64, limits.archive)?;
            // Anything before the archive is refused: readers disagree about what such a file holds.
            let config = Config {
                archive_offset: ArchiveOffset::Known(0),
            };
            let mut zip =
                ZipArchive::with_config(config, Cursor::new(bytes.clone())).map_err(broken)?;
            bound(
                "the number of entries",
                zip.len() as u64,
                limits.entries as u64,
            )?;
            zip.validate_header_consistency().map_err(broken)?;
            let entries = entries(&zip, limits)?;
            names::check_all(entries.iter().map(|entry| entry.name.as_str()))?;
            let dist_info = find_dist_info(&entries, &filename)?;
            Ok((zip, entries, dist_info))
        };
        let (zip, entries, dist_info) =
            checked().map_err(|problem: WheelProblem| problem.of(&filename))?;
        let by_name = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| (entry.name.clone(), index))
            .collect();
        Ok(Self {
            filename,
            bytes,
            zip,
            entries,
            by_name,
            limits,
            dist_info,
        })
    }

    /// The file name it was opened under.
    pub fn filename(&self) -> &WheelFilename {
        &self.filename
    }

    /// The archive itself.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All entries, in the archive's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry called `name`.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(*self.by_name.get(name)?)
    }

    /// The `.dist-info` directory, without a slash at its end.
    pub fn dist_info(&self) -> &str {
        &self.dist_info
    }

    /// The content of a member; its CRC is checked. A symbolic link's content is its target.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, WheelError> {
        self.read_bounded(name, self.limits.member)
    }

    /// The first `length` bytes of a member, or all if it is shorter; without a CRC check.
    pub fn read_start(&self, name: &str, length: usize) -> Result<Vec<u8>, WheelError> {
        let index = self.index(name)?;
        let mut zip = self.zip.clone();
        let mut start = Vec::new();
        zip.by_index(index)
            .map_err(|error| self.damaged(name, &error))?
            .take(length as u64)
            .read_to_end(&mut start)
            .map_err(|error| self.damaged(name, &error))?;
        Ok(start)
    }

    /// `.dist-info/WHEEL`.
    pub fn wheel_info(&self) -> Result<WheelInfo, WheelError> {
        let (name, headers) = self.headers("WHEEL")?;
        WheelInfo::new(headers).map_err(|reason| self.metadata(name, reason))
    }

    /// `.dist-info/METADATA`.
    pub fn metadata_file(&self) -> Result<Metadata, WheelError> {
        let (name, headers) = self.headers("METADATA")?;
        Metadata::new(headers).map_err(|reason| self.metadata(name, reason))
    }

    /// `.dist-info/RECORD`.
    pub fn record(&self) -> Result<Record, WheelError> {
        let (name, text) = self.text("RECORD")?;
        Record::parse(&text).map_err(|reason| self.metadata(name, reason))
    }

    /// Compares RECORD with the members: empty if every file is listed with the right hash and size.
    ///
    /// Inflates the whole archive, one member at a time.
    pub fn verify_record(&self) -> Result<Vec<RecordFinding>, WheelError> {
        crate::record::verify(self, &self.record()?)
    }

    fn headers(&self, file: &str) -> Result<(String, Headers), WheelError> {
        let (name, text) = self.text(file)?;
        Headers::parse(&text)
            .map(|headers| (name.clone(), headers))
            .map_err(|reason| self.metadata(name, reason))
    }

    fn text(&self, file: &str) -> Result<(String, String), WheelError> {
        let name = format!("{}/{file}", self.dist_info);
        let bytes = self.read_bounded(&name, METADATA_LIMIT)?;
        String::from_utf8(bytes)
            .map(|text| (name.clone(), text))
            .map_err(|_| self.metadata(name, "it is not UTF-8".to_owned()))
    }

    fn read_bounded(&self, name: &str, limit: u64) -> Result<Vec<u8>, WheelError> {
        let index = self.index(name)?;
        let size = self.entries.get(index).map_or(0, |entry| entry.size);
        bound(&format!("`{name}`"), size, limit).map_err(|problem| problem.of(&self.filename))?;
        let mut zip = self.zip.clone();
        let member = zip
            .by_index(index)
            .map_err(|error| self.damaged(name, &error))?;
        // The declared size may be a lie in both directions: no allocation by it beyond a modest one,
        // and no more than one byte above it is inflated.
        let capacity = usize::try_from(size.min(1 << 24)).unwrap_or_default();
        let mut content = Vec::with_capacity(capacity);
        member
            .take(size.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| self.damaged(name, &error))?;
        if content.len() as u64 != size {
            return Err(self.damaged(name, &"its size is not the one declared"));
        }
        Ok(content)
    }

    fn index(&self, name: &str) -> Result<usize, WheelError> {
        self.by_name
            .get(name)
            .copied()
            .ok_or_else(|| WheelProblem::Missing(name.to_owned()).of(&self.filename))
    }

    fn damaged(&self, name: &str, reason: &impl ToString) -> WheelError {
        WheelProblem::Damaged {
            name: name.to_owned(),
            reason: reason.to_string(),
        }
        .of(&self.filename)
    }

    fn metadata(&self, file: String, reason: String) -> WheelError {
        WheelProblem::Metadata { file, reason }.of(&self.filename)
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("filename", &self.filename.to_string())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
