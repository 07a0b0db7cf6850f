//! Writing a wheel whose bytes depend on its contents alone.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;
use wheelfarm_types::{Digest, WheelFilename};
use zip::CompressionMethod;

use crate::container::Container;
use crate::packed::{Copied, Data, Packed, Scratch};
use crate::record::is_record;
use crate::{
    Deflated, EntryKind, Level, Limits, Record, RecordRow, Wheel, WheelError, WheelProblem, names,
};

/// Unpacked bytes that are worked on at a time, but for members that are larger: what bounds the memory.
const WINDOW: u64 = 32 << 20;

/// Collects members and writes them as a wheel.
///
/// Sorted by name, `.dist-info` last and `RECORD` at the very end, one timestamp, modes 0644 and 0755, one
/// deflate implementation and level. Members of a source wheel that stay as they are keep their compressed bytes:
/// unpacking and packing them again would be most of the work.
/// Directory entries are not written: neither installers nor `RECORD` know them.
#[derive(Debug, Clone)]
pub struct WheelWriter<'a> {
    filename: WheelFilename,
    dist_info: String,
    members: BTreeMap<String, Member<'a>>,
    level: Option<Level>,
}

#[derive(Debug, Clone)]
struct Member<'a> {
    content: Content<'a>,
    executable: bool,
}

#[derive(Clone)]
enum Content<'a> {
    Plain(Bytes),
    Deflated(Deflated),
    Copied(Copied),
    Made { size: u64, make: Make<'a> },
}

/// Makes a member's content.
type Make<'a> = Arc<dyn Fn() -> Result<Deflated, Box<dyn Error + Send + Sync>> + Send + Sync + 'a>;

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(content) => write!(f, "Plain({} bytes)", content.len()),
            Self::Deflated(deflated) => deflated.fmt(f),
            Self::Copied(copied) => copied.fmt(f),
            Self::Made { size, .. } => write!(f, "Made({size} bytes)"),
        }
    }
}

impl Content<'_> {
    /// Bytes to unpack or to compress.
    fn work(&self) -> u64 {
        match self {
            Self::Plain(content) => content.len() as u64,
            Self::Deflated(_) => 0,
            Self::Copied(copied) => copied.place.size,
            Self::Made { size, .. } => *size,
        }
    }
}

impl<'a> WheelWriter<'a> {
    /// A wheel with no members, whose metadata are in `<name>-<version>.dist-info`.
    pub fn new(filename: WheelFilename) -> Self {
        Self {
            dist_info: format!("{}.dist-info", filename.stem()),
            filename,
            members: BTreeMap::new(),
            level: None,
        }
    }

    /// A wheel with the members of `source`, under the name `filename`.
    ///
    /// Old signatures of RECORD are dropped, since RECORD is written anew. A symbolic link becomes a copy of
    /// the file it points to: installers would write its target as the file's text. One that points to no
    /// file of the wheel is an error.
    pub fn from_wheel(source: &Wheel, filename: WheelFilename) -> Result<Self, WheelError> {
        Self::from_hashed(source, filename, |_| None)
    }

    /// Like [`WheelWriter::from_wheel`]; `digest` knows the digests of some members' contents, which need not be
    /// unpacked for RECORD then.
    pub fn from_hashed(
        source: &Wheel,
        filename: WheelFilename,
        digest: impl Fn(&str) -> Option<Digest>,
    ) -> Result<Self, WheelError> {
        let mut writer = Self {
            filename,
            dist_info: source.dist_info().to_owned(),
            members: BTreeMap::new(),
            level: None,
        };
        for entry in source.entries() {
            if entry.kind == EntryKind::Directory || is_record(&writer.dist_info, &entry.name) {
                continue;
            }
            let file = source.follow(entry)?;
            let copied = source.copied(&file.name, digest(&file.name))?;
            writer.put(&entry.name, Content::Copied(copied), file.executable)?;
        }
        Ok(writer)
    }

    /// Compresses everything at `level`, what was copied too. Members that come compressed stay as they are.
    #[must_use]
    pub fn at_level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// The `.dist-info` directory, without a slash at its end.
    pub fn dist_info(&self) -> &str {
        &self.dist_info
    }

    /// Adds or replaces a member.
    pub fn insert(
        &mut self,
        name: &str,
        content: impl Into<Bytes>,
        executable: bool,
    ) -> Result<(), WheelError> {
        self.put(name, Content::Plain(content.into()), executable)
    }

    /// Adds or replaces a member that is already compressed.
    pub fn insert_deflated(
        &mut self,
        name: &str,
        content: Deflated,
        executable: bool,
    ) -> Result<(), WheelError> {
        self.put(name, Content::Deflated(content), executable)
    }

    /// Adds or replaces a member of about `size` bytes whose content is made when the archive is written, on any
    /// thread, and not kept. An error of `make` comes back in [`WheelProblem::Content`].
    pub fn insert_made(
        &mut self,
        name: &str,
        size: u64,
        make: impl Fn() -> Result<Deflated, Box<dyn Error + Send + Sync>> + Send + Sync + 'a,
        executable: bool,
    ) -> Result<(), WheelError> {
        let make = Arc::new(make);
        self.put(name, Content::Made { size, make }, executable)
    }

    /// Removes a member; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.members.remove(name).is_some()
    }

    /// Writes the archive, with a new `RECORD`. Uses all cores; the bytes do not depend on how many there are.
    pub fn write_to(self, out: &mut dyn Write) -> Result<(), WheelError> {
        let Self {
            filename,
            dist_info,
            members,
            level,
        } = self;
        let record_name = format!("{dist_info}/RECORD");
        let all = members.keys().map(String::as_str);
        names::check_all(all.clone().chain([record_name.as_str()]))
            .and_then(|()| check_one_dist_info(all, &dist_info))
            .map_err(|problem| problem.of(&filename))?;
        let failed = |error| WheelProblem::Io(error).of(&filename);
        let metadata = format!("{dist_info}/");
        let mut members: Vec<_> = members.into_iter().collect();
        // The sort is stable: names stay in order within each half.
        members.sort_by_key(|(name, _)| name.starts_with(&metadata));

        let mut record = Record::default();
        let mut container = Container::new(out);
        for window in windows(members) {
            let packed: Vec<_> = window
                .into_par_iter()
                .map(|(name, member)| {
                    let packed = pack(&name, member.content, level);
                    let packed = packed.map_err(|problem| problem.of(&filename))?;
                    Ok((name, packed, member.executable))
                })
                .collect::<Result<_, WheelError>>()?;
            for (name, packed, executable) in packed {
                let row = RecordRow::new(&name, &packed.digest, packed.size);
                record.rows.push(row);
                container.add(&name, &packed, executable).map_err(failed)?;
            }
        }
        record.rows.push(RecordRow::bare(&record_name));
        let text = Deflated::at(record.to_text(), level.unwrap_or_default());
        container
            .add(&record_name, &text.into_packed(), false)
            .map_err(failed)?;
        container.finish().map_err(failed)
    }

    /// [`WheelWriter::write_to`] memory.
    pub fn finish(self) -> Result<Vec<u8>, WheelError> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// [`WheelWriter::finish`], opened again for reading.
    pub fn finish_wheel(self) -> Result<Wheel, WheelError> {
        let filename = self.filename.clone();
        // What was just written is as large as its parts, which were bounded when they were read.
        let limits = Limits {
            archive: u64::MAX,
            entries: usize::MAX,
            member: u64::MAX,
            total: u64::MAX,
        };
        Wheel::from_bytes_with(self.finish()?, filename, limits)
    }

    fn put(
        &mut self,
        name: &str,
        content: Content<'a>,
        executable: bool,
    ) -> Result<(), WheelError> {
        names::check_file(name).map_err(|problem| problem.of(&self.filename))?;
        let member = Member {
            content,
            executable,
        };
        self.members.insert(name.to_owned(), member);
        Ok(())
    }
}

/// A wheel with the metadata of two distributions would not be opened.
fn check_one_dist_info<'a>(
    mut names: impl Iterator<Item = &'a str>,
    dist_info: &str,
) -> Result<(), WheelProblem> {
    let is_other = |top: &str| top.ends_with(".dist-info") && top != dist_info;
    match names.find_map(|name| name.split_once('/').filter(|(top, _)| is_other(top))) {
        Some((other, _)) => Err(WheelProblem::DistInfo(format!(
            "it would have two `.dist-info` directories: {dist_info}, {other}"
        ))),
        None => Ok(()),
    }
}

/// The members in their order, as many at a time as [`WINDOW`] holds, at least one.
fn windows<'a>(
    members: impl IntoIterator<Item = (String, Member<'a>)>,
) -> impl Iterator<Item = Vec<(String, Member<'a>)>> {
    let mut members = members.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut window = vec![members.next()?];
        let mut work: u64 = window.iter().map(|(_, member)| member.content.work()).sum();
        while let Some((_, member)) = members.peek() {
            work += member.content.work();
            if work > WINDOW {
                break;
            }
            window.extend(members.next());
        }
        Some(window)
    })
}

/// What goes into the archive as the member `name`.
fn pack(name: &str, content: Content<'_>, level: Option<Level>) -> Result<Packed, WheelProblem> {
    let copied = match content {
        Content::Plain(content) => {
            return Ok(Deflated::at(content, level.unwrap_or_default()).into_packed());
        }
        Content::Deflated(deflated) => return Ok(deflated.into_packed()),
        Content::Made { make, .. } => {
            let name = name.to_owned();
            let made = make().map_err(|source| WheelProblem::Content { name, source })?;
            return Ok(made.into_packed());
        }
        Content::Copied(copied) => copied,
    };
    let damaged = |reason| WheelProblem::Damaged {
        name: name.to_owned(),
        reason,
    };
    let place = copied.place;
    let mut scratch = Scratch::default();
    // What was stored might be small enough to stay so, or never have been tried.
    if level.is_some() || place.method != CompressionMethod::Deflated {
        let unpacked = place.unpack(&copied.source, &mut scratch);
        unpacked.map_err(damaged)?;
        let content = scratch.into_content();
        return Ok(Deflated::at(content, level.unwrap_or_default()).into_packed());
    }
    let digest = match copied.digest {
        Some(digest) => digest,
        None => Digest::of(
            place
                .unpack(&copied.source, &mut scratch)
                .map_err(damaged)?,
        ),
    };
    Ok(Packed {
        data: Data::Copied(copied.source, place.start),
        length: place.packed,
        stored: false,
        crc: place.crc,
        size: place.size,
        digest,
    })
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
