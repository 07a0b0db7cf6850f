//! Leases: one process at a time makes a thing.
//!
//! In a directory a lease is a lock of a file, which the kernel gives up when its process dies, however it dies. It
//! protects work, not data: what two processes make at once in spite of everything is the same, and the first record
//! wins.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use wheelfarm_types::Digest;

use crate::{Store, StoreError, StoreErrorKind};

/// Where lock files lie in a store's directory: beside the objects, never among them.
const DIRECTORY: &str = "leases";

/// The right to make something, as long as it lives.
#[derive(Debug)]
pub struct Lease(Option<(PathBuf, File)>);

impl Store {
    /// Takes the lease on `what`, or returns none while another process has it. Not for two tasks of one process
    /// without a lock of their own. A store in memory has no other process to wait for.
    pub fn try_lease(&self, what: &Digest) -> Result<Option<Lease>, StoreError> {
        let Some(directory) = self.directory() else {
            return Ok(Some(Lease(None)));
        };
        let directory = directory.join(DIRECTORY);
        let path = directory.join(format!("{what}.lock"));
        try_lock(&directory, &path).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    StoreErrorKind::Denied
                }
                io::ErrorKind::StorageFull => StoreErrorKind::Full,
                _ => StoreErrorKind::Io,
            };
            StoreError::new(kind, path.display().to_string(), error.to_string())
        })
    }
}

fn try_lock(directory: &Path, path: &Path) -> io::Result<Option<Lease>> {
    fs_err::create_dir_all(directory)?;
    loop {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Who had it may have removed the file between our opening and locking it: then the lock is on nothing.
        let locked = file.metadata()?;
        match fs_err::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (locked.dev(), locked.ino()) => {
                return Ok(Some(Lease(Some((path.to_owned(), file)))));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((path, _file)) = self.0.take() {
            // While the lock is held: or the next owner's file would go. One that stays is locked by the next owner.
            fs_err::remove_file(path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let open = || async { Store::open(dir.path().to_str().unwrap()).await.unwrap() };
        let (one, two) = (open().await, open().await);
        let what = Digest::of("what");
        let lease = one.try_lease(&what).unwrap().unwrap();
        assert!(two.try_lease(&what).unwrap().is_none());
        let other = two.try_lease(&Digest::of("other")).unwrap();
        assert!(other.is_some());
        drop((lease, other));
        let files = || {
            fs_err::read_dir(dir.path().join(DIRECTORY))
                .unwrap()
                .count()
        };
        assert_eq!(files(), 0);
        // A file that a killed process left is nobody's.
        fs_err::write(dir.path().join(format!("{DIRECTORY}/{what}.lock")), "").unwrap();
        assert!(two.try_lease(&what).unwrap().is_some());
        assert_eq!(files(), 0);
    }

    #[tokio::test]
    async fn a_store_in_memory_is_nobody_elses() {
        let store = Store::open("memory:").await.unwrap();
        assert!(store.try_lease(&Digest::of("x")).unwrap().is_some());
    }
}
