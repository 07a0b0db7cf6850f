//! Section headers (gABI "Sections"): optional, and never trusted over segments.

use crate::bytes::{Encoding, Reader, Record};
use crate::constants::{SHF_ALLOC, SHT_NOBITS};
use crate::error::ElfError;
use crate::header::Header;

/// One section header. Addresses and sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
}

impl Section {
    pub(crate) fn parse(reader: Reader<'_>, offset: u64) -> Result<Section, ElfError> {
        let size = Header::section_header_size(reader.encoding.class);
        let mut fields = reader.fields(offset, size, "section header")?;
        Ok(Section {
            name: fields.u32()?,
            kind: fields.u32()?,
            flags: fields.word()?,
            address: fields.word()?,
            offset: fields.word()?,
            size: fields.word()?,
            link: fields.u32()?,
            info: fields.u32()?,
            align: fields.word()?,
            entry_size: fields.word()?,
        })
    }

    /// The section header as it stands in a file.
    pub(crate) fn to_bytes(self, encoding: Encoding) -> Vec<u8> {
        Record::new(encoding)
            .u32(self.name)
            .u32(self.kind)
            .word(self.flags)
            .word(self.address)
            .word(self.offset)
            .word(self.size)
            .u32(self.link)
            .u32(self.info)
            .word(self.align)
            .word(self.entry_size)
            .bytes
    }

    /// Whether the section is mapped at run time (`SHF_ALLOC`).
    pub(crate) fn is_allocated(&self) -> bool {
        self.flags & SHF_ALLOC != 0
    }

    /// Whether the section has bytes in the file.
    pub(crate) fn is_in_file(&self) -> bool {
        self.kind != SHT_NOBITS && self.kind != 0 && self.size > 0
    }
}

/// All section headers of `header`; empty when the object has none.
pub(crate) fn parse_table(reader: Reader<'_>, header: &Header) -> Result<Vec<Section>, ElfError> {
    let size = Header::section_header_size(header.class);
    let what = "section header table";
    let table = header
        .section_header_count
        .checked_mul(size)
        .ok_or_else(|| ElfError::malformed(what, "size overflows"))?;
    // The whole table must be in the file, which bounds the allocation.
    reader.slice(header.section_header_offset, table, what)?;
    (0..header.section_header_count)
        .map(|index| Section::parse(reader, header.section_header_offset + index * size))
        .collect()
}
