//! Leases as locks of files.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A locked file.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

/// Locks the file at `path`, or returns none while another process has it.
pub(super) fn try_lock(directory: &Path, path: &Path) -> io::Result<Option<Lock>> {
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
                let path = path.to_owned();
                return Ok(Some(Lock { path, _file: file }));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is held: or the next owner's file would go. One that stays is locked by the next owner.
        fs_err::remove_file(&self.path).ok();
    }
}
