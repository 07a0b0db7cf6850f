//! What an action's container sends on its stdout: one tar file of the outputs, then a line of our own.
//!
//! Written by hostile code at worst, so read strictly: nothing but regular files, no way out of the directory,
//! everything bounded.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use bytes::{Bytes, BytesMut};
use tar::EntryType;
use wheelfarm_build::action::{Action, ExecutorError, ExecutorErrorKind};

use crate::error::{self, hinted};

/// How many files an action may leave.
const MOST_FILES: usize = 10_000;
/// What a tar file needs per entry at most, beside the content: a long name, two headers, padding.
const ENTRY_OVERHEAD: u64 = 4096;
/// What the wrapper's line begins with.
const TRAILER: &str = "wheelfarm ";

/// What the wrapper's line has at most, in bytes.
const TRAILER_SIZE: usize = 64;

/// Collects stdout up to a limit.
pub(crate) struct Stdout {
    bytes: BytesMut,
    /// Upper bound of all output sizes.
    limit: u64,
}

/// The wrapper's line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    /// The command's exit code.
    pub(crate) code: i64,
    /// Whether tar could pack everything.
    pub(crate) packed: bool,
    /// How many processes the kernel killed for want of memory.
    pub(crate) killed: u64,
}

impl Stdout {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            bytes: BytesMut::new(),
            limit,
        }
    }

    /// Adds a chunk; `Err` says which limit it breaks.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), String> {
        let overhead = ENTRY_OVERHEAD * u64::try_from(MOST_FILES).unwrap_or(u64::MAX);
        let most = self.limit.saturating_add(overhead);
        let size = self.bytes.len().saturating_add(chunk.len());
        if u64::try_from(size).is_ok_and(|size| size <= most) {
            self.bytes.extend_from_slice(chunk);
            return Ok(());
        }
        Err(too_large(self.limit))
    }

    /// Whether the wrapper's line is there and says that the command failed.
    pub(crate) fn says_failed(&self) -> bool {
        let tail = self.bytes.len().saturating_sub(TRAILER_SIZE);
        let tail = self.bytes.get(tail..).unwrap_or_default();
        let line = tail.rsplit(|byte| *byte == 0).next().unwrap_or_default();
        trailer(line).is_some_and(|trailer| trailer.code != 0)
    }

    /// The tar file, and the wrapper's line if the wrapper lived to write it.
    pub(crate) fn finish(self) -> (Bytes, Option<Trailer>) {
        let mut bytes = self.bytes.freeze();
        // A tar file ends with zeros, and the line has none.
        let start = bytes
            .iter()
            .rposition(|byte| *byte == 0)
            .map_or(0, |at| at + 1);
        let line = bytes.split_off(start);
        (bytes, trailer(&line))
    }
}

fn trailer(line: &[u8]) -> Option<Trailer> {
    let line = std::str::from_utf8(line).ok()?;
    let mut numbers = line.strip_prefix(TRAILER)?.strip_suffix('\n')?.split(' ');
    let trailer = Trailer {
        code: numbers.next()?.parse().ok()?,
        packed: numbers.next()? == "0",
        killed: numbers.next()?.parse().ok()?,
    };
    numbers.next().is_none().then_some(trailer)
}

/// The files in the tar file `bytes`, whose sizes may sum up to `limit`; `Err` says what is wrong with it.
pub(crate) fn unpack(bytes: &Bytes, limit: u64) -> Result<BTreeMap<String, Bytes>, String> {
    let mut archive = tar::Archive::new(bytes.as_ref());
    let broken = |error: std::io::Error| format!("its archive is broken: {error}");
    let mut files = BTreeMap::new();
    let mut room = limit;
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let shown = path.display();
        match entry.header().entry_type() {
            EntryType::Directory => continue,
            EntryType::Regular => {}
            other => {
                return Err(format!(
                    "`{shown}` is {}, and only regular files are taken",
                    kind_name(other)
                ));
            }
        }
        let name = clean(&path).ok_or_else(|| format!("`{shown}` is no plain relative path"))?;
        if files.len() >= MOST_FILES {
            return Err(format!("it has more than {MOST_FILES} files"));
        }
        let size = entry.size();
        room = room.checked_sub(size).ok_or_else(|| too_large(limit))?;
        let content = entry
            .raw_file_position()
            .checked_add(size)
            .and_then(|end| {
                let start = usize::try_from(entry.raw_file_position()).ok()?;
                let end = usize::try_from(end).ok()?;
                (end <= bytes.len()).then(|| bytes.slice(start..end))
            })
            .ok_or_else(|| format!("its archive is broken: it ends inside `{shown}`"))?;
        if files.insert(name, content).is_some() {
            return Err(format!("`{shown}` is there twice"));
        }
    }
    Ok(files)
}

/// The files that `action` left in `archive`, checked against its limits.
pub(crate) fn of_action(
    archive: &Bytes,
    trailer: Option<&Trailer>,
    action: &Action,
) -> error::Result<BTreeMap<String, Bytes>> {
    if !trailer.is_some_and(|trailer| trailer.packed) {
        return Err(refused(action, "tar could not pack it; see the log"));
    }
    unpack(archive, action.limits.output).map_err(|detail| refused(action, &detail))
}

/// The outputs of `action` cannot be taken.
pub(crate) fn refused(action: &Action, detail: &str) -> ExecutorError {
    hinted(
        ExecutorErrorKind::Output,
        format!("the output of `{}` was refused: {detail}", action.name),
        "An action leaves plain files in /build/out; raise the output limit if they are meant to be so large.",
    )
}

/// The path without `./`, if it leads nowhere but down.
pub(crate) fn clean(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a named pipe",
        _ => "a special file",
    }
}

fn too_large(limit: u64) -> String {
    format!("it is larger than the limit of {limit} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            if *kind == EntryType::Symlink {
                header.set_link_name("/etc/passwd").unwrap();
            }
            // Not `append_data`, which would refuse what is tested here.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_and_the_trailer_come_apart() {
        let mut stdout = Stdout::new(100);
        let tar = archive(&[
            ("./", EntryType::Directory, ""),
            ("./a/b.whl", EntryType::Regular, "wheel"),
        ]);
        for chunk in tar.chunks(100) {
            stdout.push(chunk).unwrap();
        }
        stdout.push(b"wheelfarm 3 0 1\n").unwrap();
        let (bytes, trailer) = stdout.finish();
        let expected = Trailer {
            code: 3,
            packed: true,
            killed: 1,
        };
        assert_eq!(trailer, Some(expected));
        let files = unpack(&bytes, 100).unwrap();
        assert_eq!(
            files,
            BTreeMap::from([("a/b.whl".to_owned(), Bytes::from("wheel"))])
        );
    }

    #[test]
    fn the_trailer_of_a_failure_is_seen_when_it_comes() {
        let mut stdout = Stdout::new(1000);
        stdout
            .push(&archive(&[("x", EntryType::Regular, "wheelfarm 1 0 0\n")]))
            .unwrap();
        assert!(!stdout.says_failed());
        stdout.push(b"wheelfarm 1 ").unwrap();
        assert!(!stdout.says_failed());
        stdout.push(b"0 0\n").unwrap();
        assert!(stdout.says_failed());
        let mut stdout = Stdout::new(1000);
        stdout.push(b"wheelfarm 0 0 0\n").unwrap();
        assert!(!stdout.says_failed(), "it succeeded");
    }

    #[test]
    fn a_wrapper_that_was_killed_leaves_no_trailer() {
        for text in [
            "",
            "wheelfarm 0 0",
            "wheelfarm 0 0\n",
            "wheelfarm x 0 0\n",
            "x",
        ] {
            let mut stdout = Stdout::new(100);
            stdout.push(text.as_bytes()).unwrap();
            assert_eq!(stdout.finish().1, None, "{text}");
        }
    }

    #[test]
    fn everything_but_plain_files_is_refused() {
        for (path, kind) in [
            ("x", EntryType::Symlink),
            ("x", EntryType::Link),
            ("x", EntryType::Fifo),
            ("x", EntryType::Char),
            ("x", EntryType::GNUSparse),
            ("../x", EntryType::Regular),
            ("/x", EntryType::Regular),
            ("a/../../x", EntryType::Regular),
        ] {
            let bytes = Bytes::from(archive(&[(path, kind, "")]));
            assert!(unpack(&bytes, 100).is_err(), "{path} {kind:?}");
        }
        let twice = archive(&[
            ("x", EntryType::Regular, "1"),
            ("./x", EntryType::Regular, "2"),
        ]);
        assert!(unpack(&twice.into(), 100).is_err());
    }

    #[test]
    fn sizes_are_bounded_and_believed_only_when_the_bytes_are_there() {
        let bytes = Bytes::from(archive(&[
            ("x", EntryType::Regular, "12345"),
            ("y", EntryType::Regular, "12345"),
        ]));
        assert!(unpack(&bytes, 10).is_ok());
        assert!(unpack(&bytes, 9).unwrap_err().contains("9 bytes"));
        let cut = bytes.slice(..512 + 2);
        assert!(unpack(&cut, 10).is_err());
        let mut stdout = Stdout::new(0);
        let overhead = vec![0; 10_000 * 4096];
        stdout.push(&overhead).unwrap();
        assert!(stdout.push(b"x").is_err());
    }
}
