//! Takes what is wanted out of the tar file of a file system.
//!
//! Files lie aside, under numbers, until the whole of it is known; only then they get their places, and links are made
//! last. So nothing is ever written through a link.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::wanted::{Good, good};
use crate::output::clean;

/// Most bytes of a file system that are read: unpacked images have some gigabytes.
const MOST_READ: u64 = 256 << 30;
/// Most entries: large images have some hundred thousand.
const MOST_ENTRIES: usize = 5_000_000;
/// Most files and links that are kept.
const MOST_KEPT: usize = 500_000;
/// Most bytes that are kept.
const MOST_BYTES: u64 = 16 << 30;
/// Most programs that may be Pythons.
const MOST_PYTHONS: usize = 1000;
/// Most bytes of a path or of what a link says.
const LONGEST: usize = 4096;

/// What is kept of a file system.
enum Node {
    /// A file, which lies aside under this number.
    File(usize),
    Link(String),
}

/// What is kept, by path relative to the root.
type Nodes = BTreeMap<String, Node>;

/// Unpacks `stream` into `directory`; the paths of programs that may be Pythons. `Err` says what is wrong with it.
pub(super) fn unpack(
    stream: impl Read,
    programs: &[PathBuf],
    directory: &Path,
) -> Result<Vec<String>, String> {
    let aside = directory.join(".aside");
    fs_err::create_dir(&aside).map_err(|error| error.to_string())?;
    let nodes = read(stream, programs, &aside)?;
    place(&nodes, directory, &aside).map_err(|error| error.to_string())?;
    fs_err::remove_dir_all(&aside).map_err(|error| error.to_string())?;
    let pythons = nodes
        .keys()
        .filter(|path| good(path, programs) == Some(Good::Python))
        .map(|path| format!("/{path}"));
    Ok(pythons.take(MOST_PYTHONS).collect())
}

fn read(stream: impl Read, programs: &[PathBuf], aside: &Path) -> Result<Nodes, String> {
    let broken = |error: io::Error| format!("its archive is broken: {error}");
    let mut nodes = Nodes::new();
    let (mut files, mut room) = (0, MOST_BYTES);
    let mut archive = tar::Archive::new(stream.take(MOST_READ));
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count >= MOST_ENTRIES || nodes.len() >= MOST_KEPT {
            return Err("it has too many files".to_owned());
        }
        let path = entry.path().map_err(broken)?.into_owned();
        // No loader's configuration, library or Python has a name that is not text.
        let Some(text) = path.to_str() else { continue };
        let Some(name) = clean(&path) else {
            if matches!(text, "." | "./" | "/" | "") {
                continue;
            }
            return Err(format!("`{}` leads elsewhere", text.escape_debug()));
        };
        if name.len() > LONGEST {
            return Err("it has a path that is too long".to_owned());
        }
        let link = entry.link_name().map_err(broken)?;
        let link = link.and_then(|target| target.to_str().map(str::to_owned));
        match (entry.header().entry_type(), link) {
            (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) => {
                // What a later entry says of a path is what counts.
                nodes.remove(&name);
                if good(&name, programs).is_none() {
                    continue;
                }
                room = room.checked_sub(entry.size()).ok_or_else(|| {
                    format!("it has more than {} GiB of libraries", MOST_BYTES >> 30)
                })?;
                let file = fs_err::File::create(aside.join(files.to_string()));
                let mut file = file.map_err(|error| error.to_string())?;
                let copied = io::copy(&mut entry, &mut file).map_err(broken)?;
                if copied != entry.size() {
                    return Err(format!("it ends inside `{}`", name.escape_debug()));
                }
                nodes.insert(name, Node::File(files));
                files += 1;
            }
            (EntryType::Symlink, Some(target)) if target.len() <= LONGEST => {
                nodes.insert(name, Node::Link(target));
            }
            (EntryType::Link, Some(target)) => {
                let node =
                    clean(Path::new(&target)).and_then(|target| match nodes.get(&target)? {
                        Node::File(number) => Some(Node::File(*number)),
                        Node::Link(target) => Some(Node::Link(target.clone())),
                    });
                nodes.remove(&name);
                // Another name of what is not wanted is not wanted.
                if let Some(node) = node {
                    nodes.insert(name, node);
                }
            }
            _ => {}
        }
    }
    below_directories(&nodes)?;
    Ok(nodes)
}

/// Refuses what lies below a file or a link.
fn below_directories(nodes: &Nodes) -> Result<(), String> {
    for path in nodes.keys() {
        let mut rest = path.as_str();
        while let Some((parent, _)) = rest.rsplit_once('/') {
            if nodes.contains_key(parent) {
                let path = path.escape_debug();
                return Err(format!("`{path}` lies below what is no directory"));
            }
            rest = parent;
        }
    }
    Ok(())
}

/// Gives everything its place: first the files, then the links.
fn place(nodes: &Nodes, directory: &Path, aside: &Path) -> io::Result<()> {
    for (path, node) in nodes {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        if let Node::File(number) = node {
            fs_err::hard_link(aside.join(number.to_string()), path)?;
        }
    }
    for (path, node) in nodes {
        if let Node::Link(target) = node {
            fs_err::os::unix::fs::symlink(target, directory.join(path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
