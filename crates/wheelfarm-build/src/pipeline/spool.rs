//! A blob that is written as it is made, without holding it.

use std::io::{self, BufWriter, Write};

use tempfile::NamedTempFile;
use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::{Digest, Hasher};

/// A file that becomes a blob once it is whole; gone when dropped before.
pub(super) struct Spool {
    file: BufWriter<NamedTempFile>,
    hasher: Hasher,
    size: u64,
}

impl Spool {
    pub(super) fn new(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, store.spool()?),
            hasher: Hasher::default(),
            size: 0,
        })
    }

    /// What was written so far, to read it.
    pub(super) fn written(&mut self) -> io::Result<fs_err::File> {
        self.file.flush()?;
        let file = self.file.get_ref();
        Ok(fs_err::File::from_parts(file.reopen()?, file.path()))
    }

    /// Makes it a blob of `store`, the one it was made for: its digest and size in bytes.
    pub(super) async fn keep(self, store: &Store) -> Result<(Digest, u64), crate::JobError> {
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        let digest = self.hasher.finish();
        store.put_spooled(file, &digest).await?;
        Ok((digest, self.size))
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
