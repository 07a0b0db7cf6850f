//! Who owns a container: a lock file that dies with its process.
//!
//! The kernel drops the lock when the process ends, however it ends, so a lock file that can be locked belongs
//! to nobody. Lock files say nothing about processes on other machines (or in other containers) that use the
//! same engine: each runs directory therefore has an identity of its own, which every label carries.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The lock of this process, held until dropped.
#[derive(Debug)]
pub(crate) struct RunLock {
    run: String,
    path: PathBuf,
    directory: RunsDir,
    /// Holds the lock.
    _file: File,
}

/// The directory of lock files.
#[derive(Debug, Clone)]
pub(crate) struct RunsDir {
    path: PathBuf,
    identity: String,
}

const IDENTITY_FILE: &str = "identity";
const LOCK_SUFFIX: &str = ".lock";

impl RunsDir {
    /// Opens the directory; makes it and its identity if there are none.
    fn open(path: &Path) -> io::Result<Self> {
        fs_err::create_dir_all(path)?;
        let path = fs_err::canonicalize(path)?;
        let file = path.join(IDENTITY_FILE);
        let identity = match fs_err::read_to_string(&file) {
            Ok(identity) => identity,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (temporary, name) = unique_file(&path, ".new")?;
                fs_err::write(temporary.path(), &name)?;
                match temporary.persist_noclobber(&file) {
                    Ok(_) => name,
                    // Another process was faster.
                    Err(_) => fs_err::read_to_string(&file)?,
                }
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path, identity })
    }

    /// What tells this directory from one with the same path on another machine.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// Takes the lock at `path` if its owner is dead; `Ok(None)` if it lives.
    /// A lock file that is gone had an owner that ended in order.
    pub(crate) fn claim(&self, path: &Path) -> io::Result<Option<DeadRun>> {
        if path.parent() != Some(&self.path) {
            return Ok(None);
        }
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(DeadRun(None)));
            }
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(DeadRun(Some((path.to_owned(), file))))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The lock file of a run.
    pub(crate) fn lock_file(&self, run: &str) -> PathBuf {
        self.path.join(format!("{run}{LOCK_SUFFIX}"))
    }

    /// Every lock file, of live and dead runs.
    pub(crate) fn lock_files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs_err::read_dir(&self.path)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(LOCK_SUFFIX) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// A run whose process is dead. Holds its lock, so that nobody else cleans up after it at the same time.
#[derive(Debug)]
pub(crate) struct DeadRun(Option<(PathBuf, File)>);

impl DeadRun {
    /// Deletes the lock file, once everything the run made is removed. Returns whether there was one.
    pub(crate) fn forget(self) -> io::Result<bool> {
        match self.0 {
            Some((path, _file)) => ignore_missing(fs_err::remove_file(path)).map(|()| true),
            None => Ok(false),
        }
    }
}

impl RunLock {
    /// Takes a new lock in `directory`.
    pub(crate) fn take(directory: &Path) -> io::Result<Self> {
        let directory = RunsDir::open(directory)?;
        loop {
            let (file, run) = unique_file(&directory.path, LOCK_SUFFIX)?;
            let (file, path) = file.keep().map_err(|error| error.error)?;
            match file.try_lock() {
                // A sweep may have taken the file for a dead run's between its creation and now; then it is
                // locked, or already deleted.
                Ok(()) if path.exists() => {
                    return Ok(Self {
                        run,
                        path,
                        directory,
                        _file: file,
                    });
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The run's name: letters and digits.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// The lock file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of all lock files.
    pub(crate) fn directory(&self) -> &RunsDir {
        &self.directory
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // A file left behind is removed by the next sweep.
        ignore_missing(fs_err::remove_file(&self.path)).ok();
    }
}

/// A file with a random name, and the random part of it.
fn unique_file(directory: &Path, suffix: &str) -> io::Result<(tempfile::NamedTempFile, String)> {
    let file = tempfile::Builder::new()
        .prefix("")
        .suffix(suffix)
        .rand_bytes(12)
        .tempfile_in(directory)?;
    let name = file.path().file_name().unwrap_or_default();
    let name = name.to_string_lossy().replace(suffix, "");
    Ok((file, name))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_run_cannot_be_claimed_and_a_dead_one_can() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RunLock::take(dir.path()).unwrap();
        let other = RunLock::take(dir.path()).unwrap();
        assert_ne!(lock.run(), other.run());
        assert!(other.directory().claim(lock.path()).unwrap().is_none());
        assert_eq!(other.directory().lock_files().unwrap().len(), 2);

        // As after `kill -9`: the file is there, the lock is not.
        let path = lock.path().to_owned();
        drop(lock);
        fs_err::write(&path, "").unwrap();
        let dead = other.directory().claim(&path).unwrap().unwrap();
        assert!(
            other.directory().claim(&path).unwrap().is_none(),
            "claimed twice"
        );
        assert!(dead.forget().unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_run_that_ended_in_order_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RunLock::take(dir.path()).unwrap();
        let directory = lock.directory().clone();
        let path = lock.path().to_owned();
        drop(lock);
        assert!(directory.lock_files().unwrap().is_empty());
        assert!(directory.claim(&path).unwrap().is_some());
    }

    #[test]
    fn lock_files_elsewhere_are_nobodys_business() {
        let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lock = RunLock::take(mine.path()).unwrap();
        let gone = other.path().join("x.lock");
        assert!(lock.directory().claim(&gone).unwrap().is_none());
    }

    #[test]
    fn the_identity_stays_and_differs_between_directories() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let identity = |path| RunsDir::open(path).unwrap().identity().to_owned();
        assert_eq!(identity(one.path()), identity(one.path()));
        assert_ne!(identity(one.path()), identity(two.path()));
        assert_eq!(identity(one.path()).len(), 12);
    }
}
