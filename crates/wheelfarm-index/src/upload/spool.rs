//! Bytes on their way to the store: written to a spool and hashed in one pass.

use std::io::{self, Write};

use blake2::Blake2b;
use blake2::digest::consts::U32;
use bytes::{Bytes, BytesMut};
use md5::Md5;
use md5::digest::Digest as _;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;
use wheelfarm_types::{Digest, Hasher};

/// Bytes that are collected before they are hashed and written: what an upload holds in memory.
const PIECE: usize = 256 << 10;

/// A file being received.
pub(crate) struct Spooling {
    /// None while a piece is away being written.
    written: Option<Written>,
    pending: BytesMut,
    size: u64,
}

struct Written {
    file: NamedTempFile,
    sha256: Hasher,
    blake2: Blake2b<U32>,
    md5: Md5,
}

/// A file that was received whole: not checked in any other way.
#[derive(Debug)]
pub(crate) struct Spooled {
    /// Where it is, until it is kept.
    pub(crate) file: NamedTempFile,
    /// How many bytes it has.
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
    /// `BLAKE2b` with 256 bits, in hexadecimal, as the upload API has it.
    pub(crate) blake2: String,
    /// In hexadecimal. It protects from nothing but accidents.
    pub(crate) md5: String,
}

impl Spooling {
    /// Begins with an empty file of [`wheelfarm_store::Store::spool`].
    pub(crate) fn new(file: NamedTempFile) -> Self {
        Self {
            written: Some(Written {
                file,
                sha256: Hasher::default(),
                blake2: Blake2b::default(),
                md5: Md5::default(),
            }),
            pending: BytesMut::new(),
            size: 0,
        }
    }

    /// Bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes.
    pub(crate) async fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE {
            self.flush().await?;
        }
        Ok(())
    }

    /// Ends the file.
    pub(crate) async fn finish(mut self) -> io::Result<Spooled> {
        self.flush().await?;
        let size = self.size;
        let written = self.written.take().ok_or_else(lost)?;
        Ok(Spooled {
            file: written.file,
            size,
            sha256: written.sha256.finish(),
            blake2: hex(&written.blake2.finalize()),
            md5: hex(&written.md5.finalize()),
        })
    }

    /// Hashing and writing are no work for the threads that serve requests.
    async fn flush(&mut self) -> io::Result<()> {
        let piece: Bytes = self.pending.split().freeze();
        if piece.is_empty() {
            return Ok(());
        }
        let mut written = self.written.take().ok_or_else(lost)?;
        let done = spawn_blocking(move || {
            written.sha256.update(&piece);
            written.blake2.update(&piece);
            written.md5.update(&piece);
            written.file.write_all(&piece).map(|()| written)
        });
        self.written = Some(done.await.map_err(io::Error::other)??);
        Ok(())
    }
}

/// What is said after an earlier write has failed.
fn lost() -> io::Error {
    io::Error::other("an earlier piece could not be written")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn digests_are_those_of_other_programs() {
        let mut spooling = Spooling::new(NamedTempFile::new().unwrap());
        for piece in ["a", "b", "c"] {
            spooling.add(piece.as_bytes()).await.unwrap();
        }
        let spooled = spooling.finish().await.unwrap();
        assert_eq!(spooled.size, 3);
        assert_eq!(spooled.sha256, Digest::of("abc"));
        // RFC 1321, appendix A.5; `b2sum -l 256`.
        assert_eq!(spooled.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            spooled.blake2,
            "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
        );
        assert_eq!(fs_err::read(spooled.file.path()).unwrap(), b"abc");
    }
}
