//! The zip container, written with nothing in it that could vary
//! ([APPNOTE 6.3.10](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), sections in comments).
//!
//! Writing it here, not with a general library, is what makes the bytes ours: no data descriptors, no extra
//! fields but zip64 where a number does not fit, no time but the format's first.

use crate::Deflated;

/// 1980-01-01 00:00:00 in MS-DOS form (4.4.6): time, date.
const EPOCH: [u16; 2] = [0, 0x0021];
/// Made by Unix, version 2.0 or 4.5 of the format (4.4.2).
const UNIX: u16 = 3 << 8;
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
/// Names are UTF-8 (4.4.4, bit 11).
const UTF8: u16 = 1 << 11;
const REGULAR_FILE: u32 = 0o100_000;

/// An archive being written.
#[derive(Default)]
pub(crate) struct Container {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    entries: u64,
}

impl Container {
    /// Adds a file. The caller has checked the name.
    pub(crate) fn add(&mut self, name: &str, member: &Deflated, executable: bool) {
        let offset = self.bytes.len() as u64;
        let (packed, size) = (member.data.len() as u64, member.size);
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
        self.bytes.extend(b"PK\x03\x04");
        common(&mut self.bytes, version(large), &local_extra, sizes);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(&local_extra);
        self.bytes.extend(&member.data);
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
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let start = self.bytes.len() as u64;
        let size = self.directory.len() as u64;
        self.bytes.append(&mut self.directory);
        let out = &mut self.bytes;
        let large = start >= u64::from(u32::MAX)
            || size >= u64::from(u32::MAX)
            || self.entries >= u64::from(u16::MAX);
        if large {
            let end = out.len() as u64;
            // 4.3.14
            out.extend(b"PK\x06\x06");
            put64(out, 44);
            put16(out, UNIX | VERSION_ZIP64);
            put16(out, VERSION_ZIP64);
            put32(out, 0);
            put32(out, 0);
            for number in [self.entries, self.entries, size, start] {
                put64(out, number);
            }
            // 4.3.15
            out.extend(b"PK\x06\x07");
            put32(out, 0);
            put64(out, end);
            put32(out, 1);
        }
        let entries = if large {
            u16::MAX
        } else {
            u16::try_from(self.entries).unwrap_or(u16::MAX)
        };
        // 4.3.16
        out.extend(b"PK\x05\x06");
        for number in [0, 0, entries, entries] {
            put16(out, number);
        }
        let clipped = |number| if large { u32::MAX } else { clip(number) };
        put32(out, clipped(size));
        put32(out, clipped(start));
        put16(out, 0);
        self.bytes
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

    #[test]
    fn another_reader_agrees() {
        let mut container = Container::default();
        container.add("a.txt", &Deflated::of(vec![b'x'; 1000]), false);
        container.add("bin/ü", &Deflated::of(&b"#!"[..]), true);
        let mut zip = zip::ZipArchive::new(Cursor::new(container.finish())).unwrap();
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
        let mut container = Container::default();
        let empty = Deflated::of(&b""[..]);
        for number in 0..70_000 {
            container.add(&number.to_string(), &empty, false);
        }
        let zip = zip::ZipArchive::new(Cursor::new(container.finish())).unwrap();
        assert_eq!(zip.len(), 70_000);
    }
}
