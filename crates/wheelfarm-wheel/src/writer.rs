//! Writing a wheel whose bytes depend on its contents alone.

use std::collections::BTreeMap;
use std::thread;

use bytes::Bytes;
use wheelfarm_types::WheelFilename;

use crate::container::Container;
use crate::record::is_record;
use crate::{Deflated, EntryKind, Limits, Record, RecordRow, Wheel, WheelError, names};

/// Collects members and writes them as a wheel.
///
/// Sorted by name, `.dist-info` last and `RECORD` at the very end, one timestamp, modes 0644 and 0755, one
/// deflate implementation and level. Members are always compressed here, never copied from the source
/// archive: its compressor could be any, and two builds of one source would differ by it.
/// Directory entries are not written: neither installers nor `RECORD` know them.
#[derive(Debug, Clone)]
pub struct WheelWriter {
    filename: WheelFilename,
    dist_info: String,
    members: BTreeMap<String, Member>,
}

#[derive(Debug, Clone)]
struct Member {
    content: Content,
    executable: bool,
}

#[derive(Debug, Clone)]
enum Content {
    Plain(Bytes),
    Deflated(Deflated),
}

impl WheelWriter {
    /// A wheel with no members, whose metadata are in `<name>-<version>.dist-info`.
    pub fn new(filename: WheelFilename) -> Self {
        Self {
            dist_info: format!("{}.dist-info", filename.stem()),
            filename,
            members: BTreeMap::new(),
        }
    }

    /// A wheel with the members of `source`, under the name `filename`.
    ///
    /// Old signatures of RECORD are dropped, since RECORD is written anew. A symbolic link becomes a copy of
    /// the file it points to: installers would write its target as the file's text. One that points to no
    /// file of the wheel is an error.
    pub fn from_wheel(source: &Wheel, filename: WheelFilename) -> Result<Self, WheelError> {
        let mut writer = Self {
            filename,
            dist_info: source.dist_info().to_owned(),
            members: BTreeMap::new(),
        };
        for entry in source.entries() {
            if entry.kind == EntryKind::Directory || is_record(&writer.dist_info, &entry.name) {
                continue;
            }
            let file = source.follow(entry)?;
            let content = source.read(&file.name)?;
            writer.insert(&entry.name, content, file.executable)?;
        }
        Ok(writer)
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

    /// Removes a member; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.members.remove(name).is_some()
    }

    /// The archive, with a new `RECORD`.
    pub fn finish(self) -> Result<Vec<u8>, WheelError> {
        let record_name = format!("{}/RECORD", self.dist_info);
        let all = self.members.keys().map(String::as_str);
        names::check_all(all.chain([record_name.as_str()]))
            .map_err(|problem| problem.of(&self.filename))?;
        let metadata = format!("{}/", self.dist_info);
        let mut members: Vec<_> = self.members.into_iter().collect();
        // The sort is stable: names stay in order within each half.
        members.sort_by_key(|(name, _)| name.starts_with(&metadata));
        let members = deflate_all(members);

        let mut record = Record::default();
        let mut container = Container::default();
        for (name, content, executable) in &members {
            record
                .rows
                .push(RecordRow::new(name, &content.digest, content.size));
            container.add(name, content, *executable);
        }
        record.rows.push(RecordRow::bare(&record_name));
        container.add(&record_name, &Deflated::of(record.to_text()), false);
        Ok(container.finish())
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

    fn put(&mut self, name: &str, content: Content, executable: bool) -> Result<(), WheelError> {
        names::check_all([name].into_iter()).map_err(|problem| problem.of(&self.filename))?;
        let member = Member {
            content,
            executable,
        };
        self.members.insert(name.to_owned(), member);
        Ok(())
    }
}

/// Compresses on all cores; each result depends on its member alone, and their order is kept.
fn deflate_all(members: Vec<(String, Member)>) -> Vec<(String, Deflated, bool)> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let mut load = vec![0_u64; workers];
    for (index, (name, member)) in members.into_iter().enumerate() {
        let size = match &member.content {
            Content::Plain(content) => content.len() as u64,
            Content::Deflated(_) => 0,
        };
        // To the least loaded: one large library does not wait behind another.
        let lightest = load
            .iter_mut()
            .zip(&mut shares)
            .min_by_key(|(load, _)| **load);
        if let Some((load, share)) = lightest {
            *load += size + 1;
            share.push((index, name, member));
        }
    }
    let mut done: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| {
                scope.spawn(move || share.into_iter().map(deflate_one).collect::<Vec<_>>())
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, member)| member).collect()
}

fn deflate_one(
    (index, name, member): (usize, String, Member),
) -> (usize, (String, Deflated, bool)) {
    let content = match member.content {
        Content::Plain(content) => Deflated::of(content),
        Content::Deflated(deflated) => deflated,
    };
    (index, (name, content, member.executable))
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
