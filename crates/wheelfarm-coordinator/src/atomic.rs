//! Files that appear whole or not at all.

use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file being written beside the place where it will be, readable for all once it is there. Dropped before
/// [`AtomicFile::commit`], it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Begins to write `path`.
    pub fn create(path: &Path) -> io::Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".wheelfarm-")
            .tempfile_in(directory)
            .map_err(|error| named(&error, directory))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// The file itself, for what the kernel can do with it.
    pub(crate) fn file(&self) -> &std::fs::File {
        self.file.as_file()
    }

    /// Where it is written.
    pub fn writer(&mut self) -> &mut impl io::Write {
        self.file.as_file_mut()
    }

    /// Forgets what is written so far.
    pub fn restart(&mut self) -> io::Result<()> {
        let file = self.file.as_file_mut();
        file.set_len(0)?;
        file.rewind()
    }

    /// Where what is written so far can be read.
    pub fn temporary(&self) -> &Path {
        self.file.path()
    }

    /// Gives it its place, in the stead of what was there.
    pub fn commit(self) -> io::Result<()> {
        let permissions = std::fs::Permissions::from_mode(0o644);
        self.file.as_file().set_permissions(permissions)?;
        let persisted = self.file.persist(&self.path);
        persisted.map_err(|error| named(&error.error, &self.path))?;
        Ok(())
    }
}

/// Writes a file that appears whole or not at all, readable for all.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.writer().write_all(bytes)?;
    file.commit()
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.writer().write_all(b"none of it").unwrap();
        file.restart().unwrap();
        file.writer().write_all(b"new").unwrap();
        assert_eq!(fs_err::read(file.temporary()).unwrap(), b"new");
        drop(file);
        assert_eq!(fs_err::read(&path).unwrap(), b"old");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
        let missing = AtomicFile::create(&folder.path().join("no/file")).unwrap_err();
        assert!(missing.to_string().contains("/no"), "{missing}");
    }
}
