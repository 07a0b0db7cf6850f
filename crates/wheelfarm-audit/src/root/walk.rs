//! Paths inside a root: no link leads out of it.

use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::FileExt as _;

use crate::AuditError;

/// Most symbolic links followed for one path, as Linux has it.
const LINKS: usize = 40;
/// Most parts of a path, links expanded.
const PARTS: usize = 1000;
/// Largest text file that is read, in bytes: owners.tsv of a full distribution has some tens of megabytes.
const TEXT_LIMIT: u64 = 256 << 20;

/// The regular file that `path` is, as an absolute path of the root without links in it.
pub(super) fn resolve_file(root: &Path, path: &str) -> Option<String> {
    let real = resolve(root, path)?;
    let metadata = fs_err::symlink_metadata(inside(root, &real)).ok()?;
    metadata.is_file().then_some(real)
}

/// `path` with all links followed. The kernel's own resolution is not asked: it would leave the root.
pub(super) fn resolve(root: &Path, path: &str) -> Option<String> {
    let mut pending: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut done: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = pending.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                done.pop();
                continue;
            }
            _ => done.push(part),
        }
        if done.len() + pending.len() > PARTS {
            return None;
        }
        let here = inside(root, &done.join("/"));
        let metadata = fs_err::symlink_metadata(&here).ok()?;
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS {
                return None;
            }
            let target = fs_err::read_link(&here).ok()?;
            let target = target.to_str()?;
            if target.starts_with('/') {
                done.clear();
            } else {
                done.pop();
            }
            pending.extend(target.split('/').rev().map(str::to_owned));
        }
    }
    Some(format!("/{}", done.join("/")))
}

/// Where the root's `path` is on this machine.
pub(super) fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// A file's content. `real` has been resolved.
pub(super) fn read(root: &Path, real: &str, limit: u64) -> Result<Vec<u8>, AuditError> {
    let mut bytes = Vec::new();
    read_into(root, real, limit, &mut bytes)?;
    Ok(bytes)
}

/// What a file has another of when somebody has written to it: device, number, size, and times of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity([u64; 3], [i64; 4]);

/// Like [`read`], in the place of what `bytes` held; which file it was.
pub(super) fn read_into(
    root: &Path,
    real: &str,
    limit: u64,
    bytes: &mut Vec<u8>,
) -> Result<Identity, AuditError> {
    let file = fs_err::File::open(inside(root, real)).map_err(AuditError::Root)?;
    let metadata = file.metadata().map_err(AuditError::Root)?;
    let size = metadata.len();
    if size > limit {
        return Err(AuditError::RootFile {
            path: real.to_owned(),
            reason: format!("it has {size} bytes, more than the {limit} allowed"),
        });
    }
    bytes.clear();
    // One more than there are, to see the end without growing.
    bytes.reserve_exact(usize::try_from(size).unwrap_or_default().saturating_add(1));
    // The file itself: through the wrapper, all memory would be zeroed before it is read to.
    let read = file.file().take(limit).read_to_end(bytes);
    read.map_err(|error| {
        let path = inside(root, real);
        let text = format!("failed to read from file `{}`: {error}", path.display());
        AuditError::Root(std::io::Error::new(error.kind(), text))
    })?;
    Ok(Identity(
        [metadata.dev(), metadata.ino(), size],
        [
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ],
    ))
}

/// A file that parts are read of.
pub(super) struct Opened {
    file: fs_err::File,
    /// In bytes.
    pub(super) length: u64,
}

/// Opens a file. `real` has been resolved.
pub(super) fn open(root: &Path, real: &str) -> Result<Opened, AuditError> {
    let file = fs_err::File::open(inside(root, real)).map_err(AuditError::Root)?;
    let length = file.metadata().map_err(AuditError::Root)?.len();
    Ok(Opened { file, length })
}

impl Opened {
    /// `length` bytes from `offset` on, fewer if the file ends before.
    pub(super) fn read_at(&self, offset: u64, length: u64) -> Result<Vec<u8>, AuditError> {
        let length = length.min(self.length.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(AuditError::Root)?;
        Ok(bytes)
    }
}

/// A text file; none if there is no such file.
pub(super) fn read_text(root: &Path, path: &str) -> Result<Option<String>, AuditError> {
    let Some(real) = resolve_file(root, path) else {
        return Ok(None);
    };
    let bytes = read(root, &real, TEXT_LIMIT)?;
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Ok(Some(text))
}

/// The names in a directory, sorted; empty if there is no such directory.
pub(super) fn names(root: &Path, directory: &str) -> Vec<String> {
    let entries =
        resolve(root, directory).and_then(|real| fs_err::read_dir(inside(root, &real)).ok());
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}
