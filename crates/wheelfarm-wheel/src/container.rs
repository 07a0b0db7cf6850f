//! The zip container, written with nothing in it that could vary
//! ([APPNOTE 6.3.10](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), sections in comments).
//!
//! Writing it here, not with a general library, is what makes the bytes ours: no data descriptors, no extra
//! fields but zip64 where a number does not fit, no time but the format's first.

use std::io::{self, Write};

use crate::packed::{Data, Packed};

/// 1980-01-01 00:00:00 in MS-DOS form (4.4.6): time, date.
const EPOCH: [u16; 2] = [0, 0x0021];
/// Made by Unix, version 2.0 or 4.5 of the format (4.4.2).
const UNIX: u16 = 3 << 8;
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
/// Names are UTF-8 (4.4.4, bit 11).
const UTF8: u16 = 1 << 11;
const REGULAR_FILE: u32 = 0o100_000;

/// An archive being written, front to back.
pub(crate) struct Container<'a> {
    out: &'a mut dyn Write,
    /// Bytes written.
    position: u64,
    directory: Vec<u8>,
    entries: u64,
}

impl<'a> Container<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            position: 0,
            directory: Vec::new(),
            entries: 0,
        }
    }

    /// Adds a file. The caller has checked the name.
    pub(crate) fn add(&mut self, name: &str, member: &Packed, executable: bool) -> io::Result<()> {
        let offset = self.position;
        let (packed, size) = (member.length, member.size);
        // Names are limited to 4096 bytes when they are checked.
        let name_length = u16::try_from(name.len()).unwrap_or(u16::MAX);

        // 4.5.3: in a local header, both sizes or none.
        let mut local_extra = Vec::new();
        let large = packed >= u64::from(u32::MAX) || size >= u64::from(u32::MAX);
        if large {
            zip64(&mut local_extra, &[size, packed]);
        }
        let mut central_extra = Vec::new();
        let too_big: Vec<u64> = [size, packed, offset]
            .into_iter()
            .filter(|number| *number >= u64::from(u32::MAX))
            .collect();
        if !too_big.is_empty() {
            zip64(&mut central_extra, &too_big);
        }

        let common = |out: &mut Vec<u8>, version: u16, extra: &[u8], [size, packed]: [u32; 2]| {
            put16(out, version);
            put16(out, if name.is_ascii() { 0 } else { UTF8 });
            put16(out, if member.stored { 0 } else { 8 });
            for part in EPOCH {
                put16(out, part);
            }
            put32(out, member.crc);
            put32(out, packed);
            put32(out, size);
            put16(out, name_length);
            put16(out, u16::try_from(extra.len()).unwrap_or_default());
        };
        let sizes = if large {
            [u32::MAX; 2]
        } else {
            [clip(size), clip(packed)]
        };
        let version = |zip64: bool| if zip64 { VERSION_ZIP64 } else { VERSION };
        // 4.3.7
        let mut local = b"PK\x03\x04".to_vec();
        common(&mut local, version(large), &local_extra, sizes);
        local.extend(name.as_bytes());
        local.extend(&local_extra);
        self.out.write_all(&local)?;
        match &member.data {
            Data::Memory(data) => self.out.write_all(data)?,
            Data::Copied(source, start) => source.copy_to(*start, packed, self.out)?,
        }
        self.position += local.len() as u64 + packed;
        // 4.3.12
        let directory = &mut self.directory;
        directory.extend(b"PK\x01\x02");
        put16(directory, UNIX | VERSION_ZIP64);
        common(
            directory,
            version(!too_big.is_empty()),
            &central_extra,
            [clip(size), clip(packed)],
        );
        // comment, disk, internal attributes
        for zero in [0; 3] {
            put16(directory, zero);
        }
        let mode = REGULAR_FILE | if executable { 0o755 } else { 0o644 };
        put32(directory, mode << 16);
        put32(directory, clip(offset));
        directory.extend(name.as_bytes());
        directory.extend(&central_extra);
        self.entries += 1;
        Ok(())
    }

    /// Ends the archive.
    pub(crate) fn finish(self) -> io::Result<()> {
        let start = self.position;
        let size = self.directory.len() as u64;
        let mut out = self.directory;
        let large = start >= u64::from(u32::MAX)
            || size >= u64::from(u32::MAX)
            || self.entries >= u64::from(u16::MAX);
        if large {
            let end = start + size;
            // 4.3.14
            out.extend(b"PK\x06\x06");
            put64(&mut out, 44);
            put16(&mut out, UNIX | VERSION_ZIP64);
            put16(&mut out, VERSION_ZIP64);
            put32(&mut out, 0);
            put32(&mut out, 0);
            for number in [self.entries, self.entries, size, start] {
                put64(&mut out, number);
            }
            // 4.3.15
            out.extend(b"PK\x06\x07");
            put32(&mut out, 0);
            put64(&mut out, end);
            put32(&mut out, 1);
        }
        let entries = if large {
            u16::MAX
        } else {
            u16::try_from(self.entries).unwrap_or(u16::MAX)
        };
        // 4.3.16
        out.extend(b"PK\x05\x06");
        for number in [0, 0, entries, entries] {
            put16(&mut out, number);
        }
        let clipped = |number| if large { u32::MAX } else { clip(number) };
        put32(&mut out, clipped(size));
        put32(&mut out, clipped(start));
        put16(&mut out, 0);
        self.out.write_all(&out)
    }
}

/// The zip64 extra field (4.5.3).
fn zip64(extra: &mut Vec<u8>, numbers: &[u64]) {
    put16(extra, 1);
    put16(extra, u16::try_from(numbers.len() * 8).unwrap_or_default());
    for number in numbers {
        put64(extra, *number);
    }
}

fn clip(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn put16(out: &mut Vec<u8>, number: u16) {
    out.extend(number.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::*;
    use crate::Deflated;

    #[test]
    fn another_reader_agrees() {
        let mut bytes = Vec::new();
        let mut container = Container::new(&mut bytes);
        let text = Deflated::of(vec![b'x'; 1000]).into_packed();
        container.add("a.txt", &text, false).unwrap();
        let tool = Deflated::of(&b"#!"[..]).into_packed();
        container.add("bin/ü", &tool, true).unwrap();
        container.finish().unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        zip.validate_header_consistency().unwrap();
        assert_eq!(zip.len(), 2);
        let mut content = Vec::new();
        let mut file = zip.by_index(0).unwrap();
        file.read_to_end(&mut content).unwrap();
        assert_eq!(
            (content, file.unix_mode()),
            (vec![b'x'; 1000], Some(0o100_644))
        );
        drop(file);
        let file = zip.by_name("bin/ü").unwrap();
        assert_eq!(file.unix_mode(), Some(0o100_755));
        let time = file.last_modified().unwrap();
        assert_eq!(
            (time.year(), time.month(), time.day(), time.hour()),
            (1980, 1, 1, 0)
        );
    }

    #[test]
    fn more_entries_than_sixteen_bits_count() {
        let mut bytes = Vec::new();
        let mut container = Container::new(&mut bytes);
        let empty = Deflated::of(&b""[..]).into_packed();
        for number in 0..70_000 {
            container.add(&number.to_string(), &empty, false).unwrap();
        }
        container.finish().unwrap();
        let zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(zip.len(), 70_000);
    }

    /// Sizes that 32 bits do not hold, without the bytes: what is written is thrown away but for the headers.
    #[test]
    fn more_bytes_than_thirty_two_bits_count() {
        struct Counted(u64, Vec<u8>);
        impl Write for Counted {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += bytes.len() as u64;
                if bytes.len() < 1 << 20 {
                    self.1.extend(bytes);
                }
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Counted(0, Vec::new());
        let mut container = Container::new(&mut out);
        let piece = bytes::Bytes::from(vec![0; 1 << 20]);
        let digest = wheelfarm_types::Digest::of("");
        for number in 0..5000 {
            let member = Packed {
                data: Data::Memory(piece.clone()),
                length: 1 << 20,
                stored: true,
                crc: 0,
                size: 1 << 20,
                digest,
            };
            container.add(&number.to_string(), &member, false).unwrap();
        }
        container.finish().unwrap();
        assert!(out.0 > 5000 << 20);
        // The end of the directory says where the larger numbers are.
        let end = out.1.windows(4).rposition(|at| at == b"PK");
        let record = &out.1[end.unwrap()..];
        assert_eq!(u64::from_le_bytes(record[32..40].try_into().unwrap()), 5000);
        let start = u64::from_le_bytes(record[48..56].try_into().unwrap());
        assert!(start > 5000 << 20);
    }
}
