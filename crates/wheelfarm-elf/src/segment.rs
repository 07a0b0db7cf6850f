//! Program headers (gABI "Program Header") and the address space they describe.

use crate::bytes::{Encoding, Reader, Record};
use crate::constants::PT_LOAD;
use crate::error::ElfError;
use crate::header::{Class, Header};

/// One program header. Addresses and sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`: one of the `PT_*` constants.
    pub kind: u32,
    /// `p_flags`: bits `PF_X`, `PF_W`, `PF_R`.
    pub flags: u32,
    /// `p_offset`: file offset.
    pub offset: u64,
    /// `p_vaddr`: virtual address.
    pub address: u64,
    /// `p_paddr`: physical address, meaningless on Linux but kept.
    pub physical_address: u64,
    /// `p_filesz`.
    pub file_size: u64,
    /// `p_memsz`.
    pub memory_size: u64,
    /// `p_align`.
    pub align: u64,
}

impl Segment {
    pub(crate) fn parse(reader: Reader<'_>, offset: u64) -> Result<Segment, ElfError> {
        let class = reader.encoding.class;
        let size = Header::program_header_size(class);
        let mut fields = reader.fields(offset, size, "program header")?;
        let kind = fields.u32()?;
        // ELF64 moved p_flags forward for alignment.
        let early_flags = match class {
            Class::Elf64 => Some(fields.u32()?),
            Class::Elf32 => None,
        };
        let offset = fields.word()?;
        let address = fields.word()?;
        let physical_address = fields.word()?;
        let file_size = fields.word()?;
        let memory_size = fields.word()?;
        let flags = match early_flags {
            Some(flags) => flags,
            None => fields.u32()?,
        };
        let align = fields.word()?;
        Ok(Segment {
            kind,
            flags,
            offset,
            address,
            physical_address,
            file_size,
            memory_size,
            align,
        })
    }

    /// The program header as it stands in a file.
    pub(crate) fn to_bytes(self, encoding: Encoding) -> Vec<u8> {
        let mut record = Record::new(encoding).u32(self.kind);
        if encoding.class == Class::Elf64 {
            record = record.u32(self.flags);
        }
        record = record
            .word(self.offset)
            .word(self.address)
            .word(self.physical_address)
            .word(self.file_size)
            .word(self.memory_size);
        if encoding.class == Class::Elf32 {
            record = record.u32(self.flags);
        }
        record.word(self.align).bytes
    }
}

/// All program headers of `header`.
pub(crate) fn parse_table(reader: Reader<'_>, header: &Header) -> Result<Vec<Segment>, ElfError> {
    let size = Header::program_header_size(header.class);
    let what = "program header table";
    let table = header
        .program_header_count
        .checked_mul(size)
        .ok_or_else(|| ElfError::malformed(what, "size overflows"))?;
    // The whole table must be in the file, which bounds the allocation.
    reader.slice(header.program_header_offset, table, what)?;
    (0..header.program_header_count)
        .map(|index| Segment::parse(reader, header.program_header_offset + index * size))
        .collect()
}

/// The file offset of virtual address `address` and how many bytes of that
/// segment follow it in the file; `None` when no `PT_LOAD` has it.
pub(crate) fn file_range(segments: &[Segment], address: u64) -> Option<(u64, u64)> {
    segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            let available = segment.file_size.checked_sub(within)?;
            if available == 0 {
                return None;
            }
            Some((segment.offset.checked_add(within)?, available))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Endian;

    const SEGMENT: Segment = Segment {
        kind: PT_LOAD,
        flags: 5,
        offset: 0x1000,
        address: 0x3000,
        physical_address: 0x3000,
        file_size: 0x100,
        memory_size: 0x200,
        align: 0x1000,
    };

    #[test]
    fn writing_and_reading_agree() {
        for class in [Class::Elf32, Class::Elf64] {
            for endian in [Endian::Little, Endian::Big] {
                let encoding = Encoding { class, endian };
                let bytes = SEGMENT.to_bytes(encoding);
                assert_eq!(bytes.len() as u64, Header::program_header_size(class));
                let reader = Reader::new(&bytes, encoding);
                assert_eq!(Segment::parse(reader, 0), Ok(SEGMENT));
            }
        }
    }

    #[test]
    fn addresses_map_to_the_bytes_in_the_file_only() {
        assert_eq!(file_range(&[SEGMENT], 0x3010), Some((0x1010, 0xf0)));
        assert_eq!(file_range(&[SEGMENT], 0x2fff), None);
        // Beyond p_filesz lies zero-filled memory, which is not in the file.
        assert_eq!(file_range(&[SEGMENT], 0x3100), None);
    }
}
