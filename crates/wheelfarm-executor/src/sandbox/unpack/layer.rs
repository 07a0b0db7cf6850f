//! Puts the entries of an archive into a directory, over what lower layers put there.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use fs_err::File;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, linkat, mknodat, openat, symlinkat};
use tar::{Entry, EntryType};

use super::archive::Archive;
use super::meta::Meta;
use super::root::{Root, kind, make_directory, names, open_directory, parent_and_name, remove};

pub(super) use super::meta::Owners;

/// Upper bound of entries: large images have a few hundred thousand.
const MOST_ENTRIES: usize = 4_000_000;
/// Upper bound of all files together.
const MOST_BYTES: u64 = 64 << 30;
/// Before the name of what a layer removes.
const WHITEOUT: &[u8] = b".wh.";
/// Says that a layer has all of a directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Before what a storage driver of old kept for itself.
const RESERVED: &[u8] = b".wh..wh.";

/// A layer that is being unpacked.
pub(super) struct Layer {
    root: Root,
    whiteouts: bool,
    owners: Owners,
    entries: usize,
    bytes: u64,
    /// What this layer has, with the directories above it: whiteouts are about lower layers only.
    own: HashSet<PathBuf>,
    /// What is set on directories when nothing is put into them any more.
    directories: BTreeMap<PathBuf, Meta>,
}

impl Layer {
    pub(super) fn new(into: &Path, whiteouts: bool, owners: Owners) -> Result<Self, String> {
        let root = Root::open(into)
            .map_err(|error| format!("{} cannot be opened: {error}", into.display()))?;
        Ok(Self {
            root,
            whiteouts,
            owners,
            entries: 0,
            bytes: 0,
            own: HashSet::new(),
            directories: BTreeMap::new(),
        })
    }

    /// Adds every entry of `archive`.
    pub(super) fn add(&mut self, archive: &mut Archive) -> Result<(), String> {
        let broken = |error: io::Error| format!("it is no whole tar archive: {error}");
        let mut archive = tar::Archive::new(archive);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = entry.path().map_err(broken)?.into_owned();
            let added = self.add_entry(&path, &mut entry);
            added.map_err(|error| format!("its entry `{}`: {error}", path.display()))?;
        }
        Ok(())
    }

    /// Sets what is still to be set on directories. Returns how many bytes of files there were.
    pub(super) fn finish(mut self) -> Result<u64, String> {
        // The innermost first: a directory may be closed to its owner.
        for (path, meta) in std::mem::take(&mut self.directories).into_iter().rev() {
            let set = self.finish_directory(&path, &meta);
            set.map_err(|error| format!("its entry `{}`: {error}", path.display()))?;
        }
        Ok(self.bytes)
    }

    fn finish_directory(&mut self, path: &Path, meta: &Meta) -> io::Result<()> {
        let (parent, name) = parent_and_name(path);
        let name = if name.is_empty() {
            OsStr::new(".")
        } else {
            name
        };
        let parent = self.root.directory(parent)?;
        // Something else may have come in its place.
        if kind(&parent, name)? == Some(FileType::Directory) {
            meta.set(&open_directory(&parent, name)?, self.owners)?;
        }
        Ok(())
    }

    fn add_entry<R: Read>(&mut self, path: &Path, entry: &mut Entry<'_, R>) -> io::Result<()> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(io::Error::other(format!(
                "it is one of more than {MOST_ENTRIES}"
            )));
        }
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            return Ok(());
        }
        let path = clean(path)?;
        let (parent, name) = parent_and_name(&path);
        if self.whiteouts && name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(parent, name);
        }
        let meta = Meta::of(entry)?;
        self.own.extend(path.ancestors().map(Path::to_owned));
        if name.is_empty() {
            self.directories.insert(path, meta);
            return Ok(());
        }
        let parent = self.root.directory(parent)?;
        let entry_type = entry.header().entry_type();
        let is_directory = entry_type == EntryType::Directory;
        let there = kind(&parent, name)?;
        if there.is_some() && !(is_directory && there == Some(FileType::Directory)) {
            remove(&parent, name)?;
            self.root.forget();
        }
        match entry_type {
            EntryType::Directory => {
                if there != Some(FileType::Directory) {
                    make_directory(&parent, name, 0o700)?;
                }
                self.directories.insert(path, meta);
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let file = self.file(&parent, name, entry)?;
                meta.set(&file, self.owners)?;
            }
            EntryType::Symlink => {
                symlinkat(target(entry)?.as_os_str(), &parent, name)?;
                meta.set_by_name(&parent, name, true, self.owners)?;
            }
            EntryType::Link => self.hard_link(&target(entry)?, &parent, name)?,
            EntryType::Fifo => {
                mknodat(&parent, name, FileType::Fifo, Mode::RUSR, 0)?;
                meta.set_by_name(&parent, name, false, self.owners)?;
            }
            // Containers get their own, and who is not root cannot make any.
            EntryType::Char | EntryType::Block => {}
            other => return Err(io::Error::other(format!("it has the type {other:?}"))),
        }
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        entry: &mut Entry<'_, R>,
    ) -> io::Result<OwnedFd> {
        let room = MOST_BYTES - self.bytes;
        if entry.size() > room {
            return Err(io::Error::other(format!(
                "with it there are more than {MOST_BYTES} bytes"
            )));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = openat(
            parent,
            name,
            flags | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )?;
        let file = std::fs::File::from(file);
        let mut file = File::from_parts(file, name);
        let size = entry.size();
        let written = io::copy(&mut entry.take(size), &mut file)?;
        if written != size {
            return Err(io::Error::other("the archive ends in it"));
        }
        self.bytes += written;
        Ok(file.into_parts().0.into())
    }

    /// A link to a file that is there already, of this layer or a lower one.
    fn hard_link(&mut self, target: &Path, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let target = clean(target)?;
        let (directory, file) = parent_and_name(&target);
        let missing = || {
            let message = format!("it is a link to `{}`, which is not there", target.display());
            io::Error::other(message)
        };
        let directory = self.root.existing(directory)?.ok_or_else(missing)?;
        match kind(&directory, file)? {
            None | Some(FileType::Directory) => Err(missing()),
            // A link in the place of the file is linked itself, and not followed.
            Some(_) => Ok(linkat(&directory, file, parent, name, AtFlags::empty())?),
        }
    }

    /// Removes what lower layers have, as the file `name` in `parent` says.
    fn whiteout(&mut self, parent: &Path, name: &OsStr) -> io::Result<()> {
        let Some(directory) = self.root.existing(parent)? else {
            return Ok(());
        };
        self.root.forget();
        if name.as_bytes() == OPAQUE {
            // It was opened for looking up only.
            return self.hide_below(parent, &open_directory(&directory, OsStr::new("."))?);
        }
        if name.as_bytes().starts_with(RESERVED) {
            return Ok(());
        }
        let hidden = name.as_bytes().strip_prefix(WHITEOUT).unwrap_or_default();
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(io::Error::other("it says to remove nothing"));
        }
        self.hide(parent, &directory, OsStr::from_bytes(hidden))
    }

    fn hide(&self, path: &Path, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let path = path.join(name);
        if !self.own.contains(&path) {
            return remove(parent, name);
        }
        if kind(parent, name)? == Some(FileType::Directory) {
            return self.hide_below(&path, &open_directory(parent, name)?);
        }
        Ok(())
    }

    fn hide_below(&self, path: &Path, directory: &OwnedFd) -> io::Result<()> {
        for name in names(directory)? {
            self.hide(path, directory, &name)?;
        }
        Ok(())
    }
}

/// What a link leads to.
fn target<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let target = entry.link_name()?;
    let target = target.filter(|target| !target.as_os_str().is_empty());
    let target = target.ok_or_else(|| io::Error::other("it is a link to nothing"))?;
    Ok(target.into_owned())
}

/// `path` from the root; one that leads out of it is refused.
fn clean(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(io::Error::other("it leads elsewhere")),
            Component::Normal(part) => clean.push(part),
        }
    }
    Ok(clean)
}
