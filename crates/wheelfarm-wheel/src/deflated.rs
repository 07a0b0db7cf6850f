//! A member's content, compressed once.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, Crc, write::DeflateEncoder};
use wheelfarm_types::Digest;

/// The one compression level: zlib's default, and what `bdist_wheel` uses.
const LEVEL: u32 = 6;

/// Content compressed by the one deflate implementation at the one level, with what a zip entry needs.
///
/// The value depends on the content alone, so it can be kept and written into any number of wheels. It can
/// only be made from content: a stream compressed elsewhere would make wheels differ by who compressed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deflated {
    pub(crate) data: Bytes,
    pub(crate) stored: bool,
    pub(crate) crc: u32,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

impl Deflated {
    /// Compresses `content`; what does not get smaller is stored.
    pub fn of(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let mut crc = Crc::new();
        crc.update(&content);
        let packed = deflate(&content).filter(|packed| packed.len() < content.len());
        Self {
            crc: crc.sum(),
            size: content.len() as u64,
            digest: Digest::of(&content),
            stored: packed.is_none(),
            data: packed.map_or(content, Bytes::from),
        }
    }

    /// The digest of the unpacked content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The size of the unpacked content in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// None if the encoder fails, which writing to memory does not: storing is right then, too.
fn deflate(content: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(content).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_form_is_kept() {
        let text = Deflated::of(vec![b'a'; 10_000]);
        assert!(!text.stored && text.data.len() < 100);
        assert_eq!(text.size(), 10_000);
        let short = Deflated::of(&b"ab"[..]);
        assert!(short.stored);
        assert_eq!(short.data, &b"ab"[..]);
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(Deflated::of(&b"123456789"[..]).crc, 0xcbf4_3926);
    }
}
