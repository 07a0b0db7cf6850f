//! Members as an archive holds them.

use std::io;

use bytes::Bytes;
use wheelfarm_types::Digest;
use zip::CompressionMethod;

use crate::source::Source;

/// Where a member's data are in its archive, and what they unpack to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Offset of the data, behind the local header.
    pub(crate) start: u64,
    /// Bytes in the archive.
    pub(crate) packed: u64,
    /// Bytes unpacked, as the directory declares.
    pub(crate) size: u64,
    /// CRC-32 of the unpacked bytes, as the directory declares.
    pub(crate) crc: u32,
    pub(crate) method: CompressionMethod,
}

/// Most bytes that one byte of a deflate stream can stand for: a match of 258 in two bits.
const DEFLATE_RATIO: u64 = 1032;

/// Memory to unpack members in, one after the other: fresh memory for each would cost more than unpacking it.
#[derive(Debug, Default)]
pub struct Scratch {
    packed: Vec<u8>,
    content: Vec<u8>,
}

impl Scratch {
    /// What was unpacked into fresh memory.
    pub(crate) fn into_content(self) -> Vec<u8> {
        self.content
    }
}

/// The first `length` bytes of a buffer, which grows if it has to.
fn room(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        // The old content is not needed, and should not be there at the same time.
        buffer.clear();
        buffer.shrink_to_fit();
        *buffer = vec![0; length];
    }
    buffer.get_mut(..length).unwrap_or_default()
}

impl Place {
    /// The bytes in the archive.
    pub(crate) fn packed<'a>(
        &self,
        source: &'a Source,
        scratch: &'a mut Scratch,
    ) -> io::Result<&'a [u8]> {
        source.borrow_at(self.start, self.packed, |length| {
            room(&mut scratch.packed, length)
        })
    }

    /// The unpacked content, its size and checksum compared; the error is what is wrong with it.
    ///
    /// The declared size may be a lie: not more is allocated than the packed bytes can stand for.
    pub(crate) fn unpack<'a>(
        &self,
        source: &Source,
        scratch: &'a mut Scratch,
    ) -> Result<&'a [u8], String> {
        let most = match self.method {
            CompressionMethod::Stored => self.packed,
            CompressionMethod::Deflated => self.packed.saturating_mul(DEFLATE_RATIO),
            other => return Err(format!("its compression, {other}, is not one of wheels")),
        };
        let other_size = || "its size is not the one declared".to_owned();
        let size = usize::try_from(self.size)
            .ok()
            .filter(|_| self.size <= most)
            .ok_or_else(other_size)?;
        let content = room(&mut scratch.content, size);
        let length = if self.method == CompressionMethod::Stored {
            source
                .read_exact_at(self.start, content)
                .map_err(|error| error.to_string())?;
            self.packed
        } else {
            let packed = source
                .borrow_at(self.start, self.packed, |length| {
                    room(&mut scratch.packed, length)
                })
                .map_err(|error| error.to_string())?;
            inflate(packed, content)?
        };
        if length != self.size {
            return Err(other_size());
        }
        if libdeflater::crc32(content) != self.crc {
            return Err("its checksum is not the one declared".to_owned());
        }
        Ok(content)
    }
}

/// Fills `content`; returns how far.
fn inflate(packed: &[u8], content: &mut [u8]) -> Result<u64, String> {
    libdeflater::Decompressor::new()
        .deflate_decompress(packed, content)
        .map(|length| length as u64)
        .map_err(|error| {
            match error {
                libdeflater::DecompressionError::BadData => "it is not a deflate stream",
                libdeflater::DecompressionError::InsufficientSpace => {
                    "its size is not the one declared"
                }
            }
            .to_owned()
        })
}

/// A member of an opened wheel, as it stands there.
#[derive(Debug, Clone)]
pub(crate) struct Copied {
    pub(crate) source: Source,
    pub(crate) place: Place,
    /// The digest of its content, if it is known already.
    pub(crate) digest: Option<Digest>,
}

/// Data to write, compressed or not.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Memory(Bytes),
    Copied(Source, u64),
}

/// Everything that an archive says of a member.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    pub(crate) data: Data,
    /// Bytes of `data`.
    pub(crate) length: u64,
    pub(crate) stored: bool,
    pub(crate) crc: u32,
    /// Bytes unpacked.
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}
