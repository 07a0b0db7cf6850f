//! Keeps what is read of an archive, in a file without a name: it is gone when it is closed, even by a kill.

use std::cell::{Cell, RefCell};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use fs_err::File;
use tokio_util::sync::CancellationToken;

const BUFFER: usize = 1 << 20;

/// A file that grows with what is read through [`Tee`].
pub(super) struct Spool {
    file: RefCell<BufWriter<File>>,
    /// Bytes in the file.
    written: Cell<u64>,
    /// Bytes that may still be read before somebody has to say how many more.
    allowance: Cell<u64>,
    /// Why the file could not be written.
    failure: Cell<Option<io::Error>>,
    cancel: CancellationToken,
}

impl Spool {
    /// An empty file in `directory`.
    pub(super) fn new(directory: &Path, cancel: CancellationToken) -> io::Result<Self> {
        let file = File::from_parts(tempfile::tempfile_in(directory)?, directory);
        Ok(Self {
            file: RefCell::new(BufWriter::with_capacity(BUFFER, file)),
            written: Cell::new(0),
            allowance: Cell::new(0),
            failure: Cell::new(None),
            cancel,
        })
    }

    /// Lets `bytes` more be read, and forgets what was left of what was allowed before.
    pub(super) fn allow(&self, bytes: u64) {
        self.allowance.set(bytes);
    }

    /// How many bytes it has: where the next one will lie.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Adds `bytes`; says where they lie.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.written.get();
        self.file.borrow_mut().write_all(bytes)?;
        self.written.set(offset + bytes.len() as u64);
        Ok(offset)
    }

    /// The error that ended reading, if it was this file's.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failure.take()
    }

    /// The file, with all that was written.
    pub(super) fn finish(self) -> io::Result<File> {
        let file = self.file.into_inner();
        file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Reads `inner`, and keeps what was read.
pub(super) struct Tee<'a, R> {
    pub(super) inner: R,
    pub(super) spool: &'a Spool,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Spool {
            allowance, cancel, ..
        } = self.spool;
        if cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let length = usize::try_from(allowance.get()).unwrap_or(usize::MAX);
        let length = length.min(buffer.len());
        if length == 0 {
            return Err(io::Error::other("it says too much about one file"));
        }
        let read = self
            .inner
            .read(buffer.get_mut(..length).unwrap_or_default())?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if let Err(error) = self.spool.append(bytes) {
            self.spool.failure.set(Some(error));
            return Err(io::Error::other("it could not be kept"));
        }
        allowance.set(allowance.get().saturating_sub(read as u64));
        Ok(read)
    }
}
