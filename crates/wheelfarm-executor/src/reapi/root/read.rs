//! Reads the tar file of a file system, once: what is where, what digest it has, and where in the archive its bytes lie.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;

use tar::{Entry, EntryType};
use wheelfarm_reapi::BlobDigest;
use wheelfarm_types::Hasher;

use super::LeftOut;
use super::spool::{Spool, Tee};
use crate::output::clean;

/// Most bytes of an archive: unpacked images have some gigabytes.
const MOST_BYTES: u64 = 64 << 30;
/// Most entries: large images have some hundred thousand.
const MOST_ENTRIES: usize = 2_000_000;
/// Most bytes of a path or of what a link says, as Linux has it.
const LONGEST: usize = 4096;
/// Most directories above a file.
const DEEPEST: usize = 200;
/// Most bytes that an archive has between two files: headers, long names, extended attributes.
const BETWEEN: u64 = 4 << 20;
/// The unit of a tar file.
const BLOCK: u64 = 512;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// What a file system has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File {
        digest: BlobDigest,
        executable: bool,
    },
    Link(String),
    /// A device, a pipe: nothing that a tree can hold.
    Special,
}

/// What is where, by path relative to the root.
pub(super) type Nodes = BTreeMap<String, Node>;

/// What an archive has.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) nodes: Nodes,
    /// Where in the archive the bytes of a file begin.
    pub(super) offsets: HashMap<BlobDigest, u64>,
    pub(super) left_out: LeftOut,
}

/// Reads `archive` to its end; `Err` says what is wrong with it.
pub(super) fn read(archive: impl Read, spool: &Spool) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let mut buffer = vec![0; CHUNK];
    let mut end = 0;
    let mut archive = tar::Archive::new(Tee {
        inner: archive,
        spool,
    });
    spool.allow(BETWEEN);
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count >= MOST_ENTRIES {
            return Err(format!("it has more than {MOST_ENTRIES} files"));
        }
        let (start, size) = (entry.raw_file_position(), entry.size());
        if size > MOST_BYTES.saturating_sub(start) {
            return Err(format!("it has more than {} GiB", MOST_BYTES >> 30));
        }
        spool.allow(size);
        let digest = hash(&mut entry, &mut buffer).map_err(broken)?;
        end = start + size.next_multiple_of(BLOCK);
        if digest.size != size {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(format!("it ends inside `{}`", path.escape_debug()));
        }
        contents.add(&mut entry, digest, start)?;
        spool.allow(BETWEEN);
    }
    // An archive that was not finished ends like one that was, but for the zeros that were read last.
    if spool.written() < end + BLOCK {
        return Err("its archive ends before its end".to_owned());
    }
    drain(archive.into_inner().inner, &mut buffer)?;
    below_directories(&contents.nodes)?;
    Ok(contents)
}

impl Contents {
    /// Adds what `entry` says. What a later entry says of a path is what counts.
    fn add(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        digest: BlobDigest,
        start: u64,
    ) -> Result<(), String> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let path = entry.path().map_err(broken)?.into_owned();
        let Some(text) = path.to_str() else {
            self.left_out.unnameable += 1;
            return Ok(());
        };
        let Some(name) = name(text)? else {
            return Ok(());
        };
        let node = match kind {
            EntryType::Directory => Node::Directory,
            EntryType::Regular | EntryType::Continuous => {
                self.offsets.entry(digest).or_insert(start);
                let mode = entry.header().mode().map_err(broken)?;
                Node::File {
                    digest,
                    executable: mode & 0o111 != 0,
                }
            }
            EntryType::Symlink | EntryType::Link => {
                let Some(target) = link(entry, text)? else {
                    self.left_out.unnameable += 1;
                    return Ok(());
                };
                if kind == EntryType::Symlink {
                    Node::Link(normal(&target))
                } else {
                    self.other_name_of(&target, text)?
                }
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => Node::Special,
            _ => {
                let text = text.escape_debug();
                return Err(format!(
                    "`{text}` is neither a file nor a directory nor a link"
                ));
            }
        };
        self.nodes.insert(name, node);
        Ok(())
    }

    /// What the hard link `text` is.
    fn other_name_of(&self, target: &str, text: &str) -> Result<Node, String> {
        let found = clean(Path::new(target)).and_then(|target| self.nodes.get(&target));
        match found {
            Some(Node::Directory) | None => Err(format!(
                "`{}` is another name of `{}`, which is no file",
                text.escape_debug(),
                target.escape_debug()
            )),
            Some(node) => Ok(node.clone()),
        }
    }
}

/// The digest of what is left of `content`.
fn hash(content: &mut impl Read, buffer: &mut [u8]) -> io::Result<BlobDigest> {
    let (mut hasher, mut size) = (Hasher::default(), 0);
    loop {
        let read = content.read(buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        size += read as u64;
    }
    Ok(BlobDigest {
        hash: hasher.finish(),
        size,
    })
}

/// Reads what follows the end: a compressed archive has its checksum there.
fn drain(mut rest: impl Read, buffer: &mut [u8]) -> Result<(), String> {
    let mut room = BETWEEN;
    loop {
        let read = rest.read(buffer).map_err(broken)? as u64;
        if read == 0 {
            return Ok(());
        }
        room = room
            .checked_sub(read)
            .ok_or("it goes on after the end of its archive")?;
    }
}

/// The path `text` without `./`; none for the root itself.
fn name(text: &str) -> Result<Option<String>, String> {
    if matches!(text, "." | "./" | "/" | "") {
        return Ok(None);
    }
    let shown = || text.chars().take(200).collect::<String>();
    let name = clean(Path::new(text)).filter(|name| !name.contains('\0'));
    let name = name.ok_or_else(|| format!("`{}` leads elsewhere", shown().escape_debug()))?;
    if name.len() > LONGEST || name.split('/').count() > DEEPEST {
        let shown = shown();
        let shown = shown.escape_debug();
        return Err(format!("it has a path that is too long: `{shown}`"));
    }
    Ok(Some(name))
}

/// What the link `text` says, if it is text.
fn link(entry: &Entry<'_, impl Read>, text: &str) -> Result<Option<String>, String> {
    let target = entry.link_name().map_err(broken)?.unwrap_or_default();
    let Some(target) = target.to_str() else {
        return Ok(None);
    };
    if target.is_empty() || target.len() > LONGEST || target.contains('\0') {
        let text = text.escape_debug();
        return Err(format!("the link `{text}` leads nowhere"));
    }
    Ok(Some(target.to_owned()))
}

/// A link's target in the form that trees have: REAPI's `SymlinkNode.target` forbids `//` and `/./`.
fn normal(target: &str) -> String {
    let mut parts = target.split('/');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts.filter(|part| !matches!(*part, "" | ".")) {
        text.push('/');
        text.push_str(part);
    }
    if text.is_empty() {
        "/".to_owned()
    } else {
        text
    }
}

/// Refuses what lies below a file or a link: nobody knows where that would be.
fn below_directories(nodes: &Nodes) -> Result<(), String> {
    for path in nodes.keys() {
        let mut rest = path.as_str();
        while let Some((parent, _)) = rest.rsplit_once('/') {
            if nodes
                .get(parent)
                .is_some_and(|node| *node != Node::Directory)
            {
                let path = path.escape_debug();
                return Err(format!("`{path}` lies below what is no directory"));
            }
            rest = parent;
        }
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn broken(error: io::Error) -> String {
    format!("its archive is broken: {error}")
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
