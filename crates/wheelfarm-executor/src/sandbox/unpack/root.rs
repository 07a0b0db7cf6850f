//! The directory that is filled: every name is looked up as if it were `/`, so that links lead to places in it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, chmodat, mkdirat, openat, openat2,
    statat, unlinkat,
};
use rustix::io::Errno;

/// How often a lookup is tried that the kernel could not do safely while something on the machine was renamed.
const TRIES: u32 = 1000;

/// The directory.
pub(super) struct Root {
    directory: Rc<OwnedFd>,
    /// The one that was asked for last: entries of one directory follow each other.
    last: Option<(PathBuf, Rc<OwnedFd>)>,
}

impl Root {
    /// Opens `path`, and makes it if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
            Ok(()) => chmodat(CWD, path, Mode::from_raw_mode(0o755), AtFlags::empty())?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self {
            directory: Rc::new(openat(CWD, path, flags, Mode::empty())?),
            last: None,
        })
    }

    /// The directory `path`, through links that lead to it. Missing ones are made.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<Rc<OwnedFd>> {
        if path.as_os_str().is_empty() {
            return Ok(Rc::clone(&self.directory));
        }
        if let Some((last, directory)) = &self.last
            && last == path
        {
            return Ok(Rc::clone(directory));
        }
        let directory = match self.look_up(path) {
            Err(Errno::NOENT) => {
                let (parent, name) = parent_and_name(path);
                let parent = self.directory(parent)?;
                make_directory(&parent, name, 0o755)?;
                self.look_up(path)?
            }
            found => found?,
        };
        let directory = Rc::new(directory);
        self.last = Some((path.to_owned(), Rc::clone(&directory)));
        Ok(directory)
    }

    /// The same, if it is there.
    pub(super) fn existing(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        match self.look_up(path) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// To be called when something was removed: what was found may be gone.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    fn look_up(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut tries = 0;
        loop {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if tries < TRIES => tries += 1,
                answer => return answer,
            }
        }
    }
}

/// Makes a directory that is not there yet, with exactly this mode.
pub(super) fn make_directory(parent: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    mkdirat(parent, name.as_bytes(), mode)?;
    // The process's mask has taken away from it.
    Ok(chmodat(parent, name.as_bytes(), mode, AtFlags::empty())?)
}

/// What `name` is in `parent`, if it is there: a link is a link.
pub(super) fn kind(parent: &OwnedFd, name: &OsStr) -> io::Result<Option<FileType>> {
    match statat(parent, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the directory `name` in `parent`, which is no link.
pub(super) fn open_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name.as_bytes(), flags, Mode::empty())?)
}

/// The names in `directory`, which was opened for reading.
pub(super) fn names(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_owned();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}

/// Removes `name` from `parent` with everything below it, if it is there.
pub(super) fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    if kind(parent, name)? != Some(FileType::Directory) {
        return match unlinkat(parent, name.as_bytes(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        };
    }
    let directory = open_directory(parent, name)?;
    for inner in names(&directory)? {
        remove(&directory, &inner)?;
    }
    Ok(unlinkat(parent, name.as_bytes(), AtFlags::REMOVEDIR)?)
}

/// A relative path as its directory and its last part.
pub(super) fn parent_and_name(path: &Path) -> (&Path, &OsStr) {
    let parent = path.parent().unwrap_or(Path::new(""));
    (parent, path.file_name().unwrap_or_default())
}
