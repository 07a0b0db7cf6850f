//! The bytes of an archive: decompressed as its first bytes say, and hashed while they are read.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use fs_err::File;
use wheelfarm_types::{Digest, Hasher};

/// Bytes that are read from a file at once.
const CHUNK: usize = 1 << 18;
/// What may come behind the end of an archive: it is padded to blocks of what tapes liked.
const MOST_PADDING: u64 = 1 << 24;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// An archive that is being read.
pub(super) struct Archive {
    reader: Box<dyn Read>,
    hasher: Hasher,
}

impl Archive {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(CHUNK, File::open(path)?);
        let start = file.fill_buf()?;
        let reader: Box<dyn Read> = if start.starts_with(&GZIP) {
            Box::new(MultiGzDecoder::new(file))
        } else if start.starts_with(&ZSTD) {
            Box::new(zstd::Decoder::with_buffer(file)?)
        } else {
            Box::new(file)
        };
        Ok(Self {
            reader,
            hasher: Hasher::default(),
        })
    }

    /// Reads to the end. The digest of everything, decompressed.
    pub(super) fn finish(mut self) -> Result<Digest, String> {
        let rest = io::copy(&mut (&mut self).take(MOST_PADDING), &mut io::sink());
        let rest = rest.map_err(|error| format!("its end cannot be read: {error}"))?;
        if rest == MOST_PADDING {
            return Err("there is something behind its end".to_owned());
        }
        Ok(self.hasher.finish())
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.hasher.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}
