//! A member's content, compressed once.

use std::cell::RefCell;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};
use wheelfarm_types::Digest;

use crate::packed::{Data, Packed};

/// How hard to compress: 0 (not at all) to 9, in the sense of zlib and of auditwheel's `-z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// The level of that number; none above 9.
    pub fn new(level: u8) -> Option<Self> {
        (level <= 9).then_some(Self(level))
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl Default for Level {
    /// 6: 2 % smaller than zlib's 6 on shared libraries, at a third of the work.
    fn default() -> Self {
        Self(6)
    }
}

/// Content compressed by the one deflate implementation, with what a zip entry needs.
///
/// The value depends on the content and the level alone, so it can be kept and written into any number of wheels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deflated {
    data: Bytes,
    stored: bool,
    crc: u32,
    size: u64,
    digest: Digest,
}

/// First bytes of the kept form, with its version.
const MAGIC: &[u8] = b"wfd1";

impl Deflated {
    /// Compresses `content` at the default level; what does not get smaller is stored.
    pub fn of(content: impl Into<Bytes>) -> Self {
        Self::at(content, Level::default())
    }

    /// Like [`Deflated::of`], at another level.
    pub fn at(content: impl Into<Bytes>, level: Level) -> Self {
        let content = content.into();
        let digest = Digest::of(&content);
        Self::hashed(content, digest, level)
    }

    /// Like [`Deflated::at`], of content whose digest is known.
    pub(crate) fn hashed(content: Bytes, digest: Digest, level: Level) -> Self {
        let packed = deflate(&content, level);
        Self {
            crc: libdeflater::crc32(&content),
            size: content.len() as u64,
            digest,
            stored: packed.is_none(),
            data: packed.unwrap_or(content),
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

    /// A form to keep: [`Deflated::from_bytes`] reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.data.len());
        bytes.extend(MAGIC);
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.digest.as_bytes());
        bytes.push(u8::from(self.stored));
        bytes.extend(&self.data);
        bytes
    }

    /// What [`Deflated::to_bytes`] gave; none if it is something else. Whether the parts fit each other is not
    /// looked at: keep it where bytes do not change unseen.
    pub fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let (crc, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (stored, data) = rest.split_first()?;
        Some(Self {
            crc: u32::from_le_bytes(*crc),
            size: u64::from_le_bytes(*size),
            digest: Digest::from(*digest),
            stored: *stored != 0,
            data: bytes.slice_ref(data),
        })
    }

    pub(crate) fn into_packed(self) -> Packed {
        Packed {
            length: self.data.len() as u64,
            data: Data::Memory(self.data),
            stored: self.stored,
            crc: self.crc,
            size: self.size,
            digest: self.digest,
        }
    }
}

/// Bytes before the data in the kept form.
const HEADER: usize = 4 + 4 + 8 + 32 + 1;

/// A compressor of a level, and the memory it writes to.
struct Worker {
    level: Level,
    compressor: Compressor,
    packed: Vec<u8>,
}

/// Most bytes that a [`Worker`] keeps for the next content.
const KEPT: usize = 8 << 20;

thread_local! {
    /// The last one: making one costs more than compressing a small file.
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// None if it would not be smaller.
fn deflate(content: &[u8], level: Level) -> Option<Bytes> {
    // One byte less than there are: what does not fit is not worth it.
    let room = content.len().checked_sub(1)?;
    WORKER.with_borrow_mut(|last| {
        let worker = match last.take() {
            Some(worker) if worker.level == level => last.insert(worker),
            _ => {
                let number = CompressionLvl::new(i32::from(level.0)).unwrap_or_default();
                last.insert(Worker {
                    level,
                    compressor: Compressor::new(number),
                    packed: Vec::new(),
                })
            }
        };
        if worker.packed.len() < room {
            worker.packed = vec![0; room];
        }
        let packed = worker.packed.get_mut(..room)?;
        let length = worker.compressor.deflate_compress(content, packed).ok()?;
        let packed = packed.get(..length).map(Bytes::copy_from_slice);
        if worker.packed.len() > KEPT {
            worker.packed = Vec::new();
        }
        packed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_form_is_kept() {
        let text = Deflated::of(vec![b'a'; 10_000]);
        assert!(!text.stored && text.data.len() < 100);
        assert_eq!(text.size(), 10_000);
        for short in [&b"ab"[..], b""] {
            let kept = Deflated::of(short);
            assert!(kept.stored);
            assert_eq!(kept.data, short);
        }
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(Deflated::of(&b"123456789"[..]).crc, 0xcbf4_3926);
    }

    #[test]
    fn levels_change_the_size_alone() {
        let squares: Vec<_> = (0..20_000).map(|n| (n * n).to_string()).collect();
        let text = squares.join(" ");
        let at = |level| Deflated::at(text.clone(), Level::new(level).unwrap());
        assert!(at(0).stored);
        assert!(at(1).data.len() > at(9).data.len());
        assert_eq!(at(1).digest(), at(9).digest());
        assert_eq!(at(6), Deflated::of(text.clone()));
        assert_eq!(Level::new(10), None);
    }

    #[test]
    fn the_kept_form_comes_back() {
        for content in [vec![b'a'; 10_000], b"ab".to_vec(), Vec::new()] {
            let made = Deflated::of(content);
            let kept = Bytes::from(made.to_bytes());
            assert_eq!(Deflated::from_bytes(&kept), Some(made));
            assert_eq!(Deflated::from_bytes(&kept.slice(..HEADER - 1)), None);
            assert_eq!(Deflated::from_bytes(&kept.slice(1..)), None);
        }
    }
}
