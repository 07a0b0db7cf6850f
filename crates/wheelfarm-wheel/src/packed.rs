//! Members as an archive holds them.

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

impl Place {
    /// The unpacked content, its size and checksum compared; the error is what is wrong with it.
    ///
    /// The declared size may be a lie: not more is allocated than the packed bytes can stand for.
    pub(crate) fn unpack(&self, source: &Source) -> Result<Vec<u8>, String> {
        let packed = source
            .read_at(self.start, self.packed)
            .map_err(|error| error.to_string())?;
        let content = match self.method {
            CompressionMethod::Stored => packed.into(),
            CompressionMethod::Deflated => inflate(&packed, self.size)?,
            other => return Err(format!("its compression, {other}, is not one of wheels")),
        };
        if content.len() as u64 != self.size {
            return Err("its size is not the one declared".to_owned());
        }
        if libdeflater::crc32(&content) != self.crc {
            return Err("its checksum is not the one declared".to_owned());
        }
        Ok(content)
    }
}

fn inflate(packed: &[u8], size: u64) -> Result<Vec<u8>, String> {
    let most = (packed.len() as u64).saturating_mul(DEFLATE_RATIO);
    let size = usize::try_from(size)
        .ok()
        .filter(|_| size <= most)
        .ok_or("its size is not the one declared")?;
    let mut content = vec![0; size];
    let length = libdeflater::Decompressor::new()
        .deflate_decompress(packed, &mut content)
        .map_err(|error| match error {
            libdeflater::DecompressionError::BadData => "it is not a deflate stream",
            libdeflater::DecompressionError::InsufficientSpace => {
                "its size is not the one declared"
            }
        })?;
    content.truncate(length);
    Ok(content)
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
