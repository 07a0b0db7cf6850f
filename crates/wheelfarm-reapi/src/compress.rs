//! zstd (RFC 8878), within bounds.

use std::io;

use zstd::stream::raw::{DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

/// The network is what uploads wait for, and processors are shared with builds: the fastest of the usual levels.
const LEVEL: i32 = 1;
/// What a decoder holds at most is two to this power, in bytes: RFC 8878, section 3.1.1.1.2, asks decoders for 8 MiB.
const WINDOW_LOG: u32 = 23;
/// Output is taken in pieces of this many bytes.
const PIECE: usize = 256 << 10;

/// `content` compressed, if that makes it smaller by a tenth at least. Wheels and archives are compressed already.
pub(crate) fn smaller(content: &[u8]) -> Option<Vec<u8>> {
    let compressed = zstd::bulk::compress(content, LEVEL).ok()?;
    (compressed.len() < content.len() - content.len() / 10).then_some(compressed)
}

/// `compressed` as the `size` bytes that it must be; nothing if it is not.
pub(crate) fn restored(compressed: &[u8], size: usize) -> Option<Vec<u8>> {
    let content = zstd::bulk::decompress(compressed, size).ok()?;
    (content.len() == size).then_some(content)
}

/// Compresses a stream.
pub(crate) struct Compressor(Encoder<'static>);

impl Compressor {
    pub(crate) fn new() -> io::Result<Self> {
        Encoder::new(LEVEL).map(Self)
    }

    /// Adds `input` and returns what came out so far. With `last`, the stream ends.
    pub(crate) fn push(&mut self, input: &[u8], last: bool) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        let mut piece = vec![0; PIECE];
        let mut source = InBuffer::around(input);
        while source.pos() < input.len() {
            let mut target = OutBuffer::around(piece.as_mut_slice());
            self.0.run(&mut source, &mut target)?;
            output.extend_from_slice(target.as_slice());
        }
        let mut left = usize::from(last);
        while left > 0 {
            let mut target = OutBuffer::around(piece.as_mut_slice());
            left = self.0.finish(&mut target, true)?;
            output.extend_from_slice(target.as_slice());
        }
        Ok(output)
    }
}

/// Restores a stream.
pub(crate) struct Decompressor {
    decoder: Decoder<'static>,
    piece: Vec<u8>,
}

impl Decompressor {
    pub(crate) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self {
            decoder,
            piece: vec![0; PIECE],
        })
    }

    /// Takes some of `input`, and returns how much, and what came out. More is to come while input is left, or output
    /// did come.
    pub(crate) fn pull(&mut self, input: &[u8]) -> io::Result<(usize, Vec<u8>)> {
        let mut source = InBuffer::around(input);
        let mut target = OutBuffer::around(self.piece.as_mut_slice());
        self.decoder.run(&mut source, &mut target)?;
        let output = target.as_slice().to_vec();
        Ok((source.pos(), output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(compressed: &[u8]) -> io::Result<Vec<u8>> {
        let mut decompressor = Decompressor::new()?;
        let (mut rest, mut all) = (compressed, Vec::new());
        loop {
            let (taken, output) = decompressor.pull(rest)?;
            rest = &rest[taken..];
            if rest.is_empty() && output.is_empty() {
                return Ok(all);
            }
            all.extend(output);
        }
    }

    #[test]
    fn a_stream_is_restored() {
        let content: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
        let mut compressor = Compressor::new().unwrap();
        let mut compressed = Vec::new();
        for chunk in content.chunks(100_000) {
            compressed.extend(compressor.push(chunk, false).unwrap());
        }
        compressed.extend(compressor.push(&[], true).unwrap());
        assert!(compressed.len() < content.len());
        assert_eq!(restore(&compressed).unwrap(), content);
    }

    #[test]
    fn what_is_no_zstd_is_an_error() {
        assert!(restore(&[7; 1000]).is_err());
        assert_eq!(restored(&[7; 1000], 10), None);
    }

    #[test]
    fn content_is_not_restored_beyond_its_size() {
        let compressed = smaller(&vec![0; 1_000_000]).unwrap();
        assert_eq!(restored(&compressed, 999_999), None);
        assert_eq!(restored(&compressed, 1_000_001), None);
        assert_eq!(restored(&compressed, 1_000_000), Some(vec![0; 1_000_000]));
    }

    #[test]
    fn what_does_not_get_smaller_is_left_alone() {
        let mut noise = vec![0; 10_000];
        getrandom::fill(&mut noise).unwrap();
        assert_eq!(smaller(&noise), None);
        assert_eq!(smaller(&[]), None);
    }
}
