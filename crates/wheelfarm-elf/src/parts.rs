//! Reading an object without the middle of its file: code and constant data, which are most of a large library.

use crate::bytes::{Reader, Tail};
use crate::constants::{
    PT_DYNAMIC, PT_GNU_PROPERTY, PT_LOAD, PT_NOTE, SHT_ARM_ATTRIBUTES, SHT_NOTE,
};
use crate::error::ElfError;
use crate::header::Header;
use crate::object::Elf;
use crate::segment;

/// The parts of a file that are likely to be enough for [`Elf::parse_parts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The file's first so many bytes: headers, symbols, strings and versions, as linkers place them.
    pub head: u64,
    /// File offset from which on the rest is wanted: the dynamic section and the section headers.
    pub tail: u64,
}

impl Parts {
    /// The parts of a file of `length` bytes that begins with `start`; none where it has to be read as a whole.
    pub fn of(start: &[u8], length: u64) -> Option<Parts> {
        let header = Header::parse(start).ok()?;
        let reader = Reader::new(start, header.encoding());
        let segments = segment::parse_table(reader, &header).ok()?;
        let first = segments.iter().find(|segment| segment.kind == PT_LOAD)?;
        let dynamic = segments.iter().find(|segment| segment.kind == PT_DYNAMIC)?;
        let head = first.offset.checked_add(first.file_size)?;
        let parts = Parts {
            head,
            tail: dynamic.offset.min(header.section_header_offset),
        };
        (first.offset == 0 && head <= parts.tail && parts.tail < length).then_some(parts)
    }
}

impl<'a> Elf<'a> {
    /// Reads an object of which only the beginning and the end are there: `tail` begins at file offset `offset`,
    /// behind `head`.
    ///
    /// # Errors
    /// Those of [`Elf::parse`], and that something is needed of what is not there. Then the whole file has to be
    /// read. [`Elf::dynamic_symbols`] may say so later.
    pub fn parse_parts(head: &'a [u8], offset: u64, tail: &'a [u8]) -> Result<Elf<'a>, ElfError> {
        let header = Header::parse(head)?;
        let reader = Reader::new(head, header.encoding());
        let elf = Elf::parse_with(
            header,
            reader.with_tail(Tail {
                offset,
                bytes: tail,
            }),
        )?;
        // What passes over notes that it cannot read must have them all.
        let segments = elf
            .segments
            .iter()
            .filter(|segment| matches!(segment.kind, PT_NOTE | PT_GNU_PROPERTY))
            .map(|segment| (segment.offset, segment.file_size));
        let sections = elf
            .sections
            .iter()
            .filter(|section| matches!(section.kind, SHT_NOTE | SHT_ARM_ATTRIBUTES))
            .map(|section| (section.offset, section.size));
        for (offset, size) in segments.chain(sections) {
            elf.reader.slice(offset, size, "note")?;
        }
        Ok(elf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crafted::{encodings, library};

    #[test]
    fn what_lies_in_the_middle_is_missed_and_not_made_up() {
        for encoding in encodings() {
            let bytes = library(encoding, 3);
            let length = bytes.len();
            let whole = Elf::parse(&bytes).unwrap();
            let symbols = whole.dynamic_symbols().unwrap();
            let mut missed = 0;
            for cut in 0..length {
                // Without the byte at the cut, which something may need.
                let (head, rest) = bytes.split_at(cut);
                let tail = rest.split_at(1).1;
                let Ok(elf) = Elf::parse_parts(head, cut as u64 + 1, tail) else {
                    missed += 1;
                    continue;
                };
                assert_eq!(elf.needed(), whole.needed());
                assert_eq!(elf.version_needs(), whole.version_needs());
                assert_eq!(elf.x86_isa_needed(), whole.x86_isa_needed());
                match elf.dynamic_symbols() {
                    Ok(read) => assert_eq!(read, symbols),
                    Err(_) => missed += 1,
                }
            }
            assert!(missed > length / 2 && missed < length, "{missed}");
            let all_in_head = Elf::parse_parts(&bytes, length as u64, &[]).unwrap();
            assert_eq!(all_in_head.soname(), whole.soname());
        }
    }

    #[test]
    fn files_without_segments_are_read_as_a_whole() {
        assert_eq!(Parts::of(b"!<arch>", 7), None);
        for encoding in encodings() {
            let bytes = library(encoding, 0);
            let (start, _) = bytes.split_at(40);
            assert_eq!(Parts::of(start, bytes.len() as u64), None);
        }
    }
}
