//! The bytes of an archive, in memory or in a file.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use fs_err::File;
use fs_err::os::unix::fs::FileExt as _;

/// What is copied at a time.
const PIECE: u64 = 256 << 10;

/// What a [`Reader`] fetches at a time: directories are read field by field.
const CHUNK: usize = 16 << 10;

/// Where an archive's bytes are. Any number of threads may read it at once.
#[derive(Clone)]
pub(crate) enum Source {
    Memory(Bytes),
    /// An open file and its length when it was opened.
    File(Arc<File>, u64),
}

impl Source {
    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    /// `length` bytes from `offset` on; an error if the source ends before. The caller bounds `length`.
    pub(crate) fn read_at(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        let end = offset.checked_add(length).filter(|end| *end <= self.len());
        let (Some(_), Ok(start), Ok(length)) =
            (end, usize::try_from(offset), usize::try_from(length))
        else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match self {
            Self::Memory(bytes) => Ok(bytes.slice(start..start + length)),
            Self::File(file, _) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes.into())
            }
        }
    }

    /// Fills `out` from `offset` on; an error if the source ends before.
    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Memory(_) => {
                out.copy_from_slice(&self.read_at(offset, out.len() as u64)?);
                Ok(())
            }
            Self::File(file, _) => file.read_exact_at(out, offset),
        }
    }

    /// `length` bytes from `offset` on, which stay where they are if that is in memory; otherwise they are read to
    /// the `room` for so many.
    pub(crate) fn borrow_at<'a>(
        &'a self,
        offset: u64,
        length: u64,
        room: impl FnOnce(usize) -> &'a mut [u8],
    ) -> io::Result<&'a [u8]> {
        let end = offset.checked_add(length).filter(|end| *end <= self.len());
        let (Some(end), Ok(start), Ok(length)) =
            (end, usize::try_from(offset), usize::try_from(length))
        else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match self {
            Self::Memory(bytes) => {
                let end = usize::try_from(end).unwrap_or(usize::MAX);
                bytes
                    .get(start..end)
                    .ok_or(io::ErrorKind::UnexpectedEof.into())
            }
            Self::File(file, _) => {
                let room = room(length);
                file.read_exact_at(room, offset)?;
                Ok(room)
            }
        }
    }

    /// Writes `length` bytes from `offset` on, piece by piece.
    pub(crate) fn copy_to(
        &self,
        mut offset: u64,
        mut length: u64,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut buffer = vec![0; usize::try_from(length.min(PIECE)).unwrap_or_default()];
        while length > 0 {
            let count = length.min(buffer.len() as u64);
            let piece = self.borrow_at(offset, count, |count| {
                buffer.get_mut(..count).unwrap_or_default()
            })?;
            out.write_all(piece)?;
            offset += count;
            length -= count;
        }
        Ok(())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({} bytes)", self.len())
    }
}

/// Reads a [`Source`] from front to back.
#[derive(Clone)]
pub(crate) struct Reader {
    source: Source,
    position: u64,
    buffer: Bytes,
    /// The offset of the buffer's first byte.
    buffered: u64,
}

impl Reader {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            position: 0,
            buffer: Bytes::new(),
            buffered: 0,
        }
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.position);
        if left == 0 {
            return Ok(0);
        }
        let inside = self.position.checked_sub(self.buffered);
        let held = inside
            .and_then(|at| self.buffer.get(usize::try_from(at).ok()?..))
            .filter(|held| !held.is_empty());
        let held = if let Some(held) = held {
            held
        } else {
            self.buffer = self.source.read_at(self.position, left.min(CHUNK as u64))?;
            self.buffered = self.position;
            &self.buffer
        };
        let count = held.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), held.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.source.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_like_memory() {
        let content: Vec<u8> = (0_u32..20_000).flat_map(u32::to_le_bytes).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        let opened = File::open(file.path()).unwrap();
        let length = content.len() as u64;
        let sources = [
            Source::Memory(content.clone().into()),
            Source::File(Arc::new(opened), length),
        ];
        for source in sources {
            assert_eq!(source.read_at(9, 3).unwrap(), &content[9..12]);
            assert!(source.read_at(length - 1, 2).is_err());
            assert!(source.read_at(u64::MAX, 2).is_err());
            let mut reader = Reader::new(source);
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            assert_eq!(all, content);
            reader.seek(SeekFrom::End(-4)).unwrap();
            let mut last = [0; 4];
            reader.read_exact(&mut last).unwrap();
            assert_eq!(last, 19_999_u32.to_le_bytes());
            reader.seek(SeekFrom::Start(length + 5)).unwrap();
            assert_eq!(reader.read(&mut last).unwrap(), 0);
            assert!(reader.seek(SeekFrom::Current(-(1 << 40))).is_err());
        }
    }
}
