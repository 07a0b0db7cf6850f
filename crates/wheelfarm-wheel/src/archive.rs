//! An opened wheel.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fs_err::File;
use wheelfarm_types::{Digest, Hasher, WheelFilename};
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

use crate::entries::{bound, broken, entries, find_dist_info};
use crate::limits::METADATA_LIMIT;
use crate::packed::{Copied, Place, Scratch};
use crate::source::{Reader, Source};
use crate::{
    Entry, Headers, Limits, Metadata, Record, RecordFinding, WheelError, WheelInfo, WheelProblem,
    framing, names,
};

/// A wheel whose directory has been checked; members are read and inflated when they are asked for.
///
/// All methods take `&self`: several threads may read one wheel.
pub struct Wheel {
    filename: WheelFilename,
    source: Source,
    zip: ZipArchive<Reader>,
    entries: Vec<Entry>,
    /// Where each entry's data are, in the order of the entries.
    places: Vec<Place>,
    by_name: HashMap<String, usize>,
    limits: Limits,
    dist_info: String,
}

impl Wheel {
    /// Opens the wheel at `path`; its name must be a wheel file name.
    ///
    /// The file stays open and is read as members are asked for: it is never in memory as a whole.
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
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok((filename, Source::File(Arc::new(file), length)))
        };
        let (filename, source) = read().map_err(|problem: WheelProblem| problem.of(&name))?;
        Self::checked(source, filename, limits)
    }

    /// Opens the wheel in a file that is called something else, for now.
    pub fn from_file(file: File, filename: WheelFilename) -> Result<Self, WheelError> {
        Self::from_file_with(file, filename, Limits::default())
    }

    /// Like [`Wheel::from_file`], with other limits.
    pub fn from_file_with(
        file: File,
        filename: WheelFilename,
        limits: Limits,
    ) -> Result<Self, WheelError> {
        let length = file
            .metadata()
            .map_err(|error| WheelProblem::Io(error).of(&filename))?
            .len();
        let source = Source::File(Arc::new(file), length);
        Self::checked(source, filename, limits)
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
        Self::checked(Source::Memory(bytes.into()), filename, limits)
    }

    fn checked(
        source: Source,
        filename: WheelFilename,
        limits: Limits,
    ) -> Result<Self, WheelError> {
        let checked = || {
            bound("the archive", source.len(), limits.archive)?;
            // Anything before the archive is refused: readers disagree about what such a file holds.
            let config = Config {
                archive_offset: ArchiveOffset::Known(0),
            };
            let mut zip =
                ZipArchive::with_config(config, Reader::new(source.clone())).map_err(broken)?;
            bound(
                "the number of entries",
                zip.len() as u64,
                limits.entries as u64,
            )?;
            zip.validate_header_consistency().map_err(broken)?;
            let (entries, places) = entries(&mut zip, limits)?;
            names::check_all(entries.iter().map(|entry| entry.name.as_str()))?;
            let dist_info = find_dist_info(&entries, &filename)?;
            Ok((zip, entries, places, dist_info))
        };
        let (zip, entries, places, dist_info) =
            checked().map_err(|problem: WheelProblem| problem.of(&filename))?;
        let by_name = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| (entry.name.clone(), index))
            .collect();
        Ok(Self {
            filename,
            source,
            zip,
            entries,
            places,
            by_name,
            limits,
            dist_info,
        })
    }

    /// The file name it was opened under.
    pub fn filename(&self) -> &WheelFilename {
        &self.filename
    }

    /// Bytes of the archive.
    pub fn size(&self) -> u64 {
        self.source.len()
    }

    /// Writes the archive as it is.
    pub fn copy_to(&self, out: &mut dyn Write) -> io::Result<()> {
        self.source.copy_to(0, self.size(), out)
    }

    /// Checks that entries and directory fill the archive, each byte once: what lies between them or behind the end
    /// is seen by some readers and not by others.
    pub fn check_framing(&self) -> Result<(), WheelError> {
        framing::check(&self.zip, &self.source).map_err(|problem| problem.of(&self.filename))
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

    /// Like [`Wheel::read`], in memory that the caller keeps for the next member.
    pub fn read_in<'a>(
        &self,
        name: &str,
        scratch: &'a mut Scratch,
    ) -> Result<&'a [u8], WheelError> {
        let place = self.place(name)?;
        bound(&format!("`{name}`"), place.size, self.limits.member)
            .map_err(|problem| problem.of(&self.filename))?;
        place
            .unpack(&self.source, scratch)
            .map_err(|reason| self.damaged(name, &reason))
    }

    /// The digest of a member as it stands in the archive: equal ones unpack to equal contents.
    pub fn packed_digest(&self, name: &str, scratch: &mut Scratch) -> Result<Digest, WheelError> {
        let place = self.place(name)?;
        let failed = |error| WheelProblem::Io(error).of(&self.filename);
        let packed = place.packed(&self.source, scratch).map_err(failed)?;
        let mut hasher = Hasher::default();
        hasher.update(packed);
        // How it unpacks, and to what.
        hasher.update(format!("{:?} {} {}", place.method, place.size, place.crc).as_bytes());
        Ok(hasher.finish())
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
        self.compare_record(|_| None)
    }

    /// Like [`Wheel::verify_record`]; members whose digests are known are not unpacked.
    pub fn compare_record(
        &self,
        digest: impl Fn(&str) -> Option<Digest>,
    ) -> Result<Vec<RecordFinding>, WheelError> {
        crate::record::compare(self, &self.record()?, digest)
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
        let place = self.place(name)?;
        bound(&format!("`{name}`"), place.size, limit)
            .map_err(|problem| problem.of(&self.filename))?;
        let mut scratch = Scratch::default();
        let unpacked = place.unpack(&self.source, &mut scratch);
        unpacked.map_err(|reason| self.damaged(name, &reason))?;
        Ok(scratch.into_content())
    }

    /// A member as it stands here, to be copied elsewhere; `digest` is that of its content, if it is known.
    pub(crate) fn copied(&self, name: &str, digest: Option<Digest>) -> Result<Copied, WheelError> {
        Ok(Copied {
            source: self.source.clone(),
            place: self.place(name)?,
            digest,
        })
    }

    fn place(&self, name: &str) -> Result<Place, WheelError> {
        let place = self.places.get(self.index(name)?);
        place
            .copied()
            .ok_or_else(|| WheelProblem::Missing(name.to_owned()).of(&self.filename))
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
