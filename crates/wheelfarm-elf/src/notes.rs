//! Notes (gABI "Note Sections") and the x86 ISA property in them (x86-64 psABI,
//! "Program Property").

use crate::bytes::Reader;
use crate::error::ElfError;
use crate::header::Class;

const NT_GNU_PROPERTY_TYPE_0: u32 = 5;
const GNU_PROPERTY_X86_ISA_1_NEEDED: u32 = 0xc000_8002;

/// The `GNU_PROPERTY_X86_ISA_1_NEEDED` bits in the notes at `offset`.
///
/// `align` is the alignment of the note segment: 4 or 8 bytes.
pub(crate) fn x86_isa_needed(
    reader: Reader<'_>,
    offset: u64,
    size: u64,
    align: u64,
) -> Result<u32, ElfError> {
    let what = "note";
    let align = if align == 8 { 8 } else { 4 };
    let notes = Reader::new(reader.slice(offset, size, what)?, reader.encoding);
    let mut isa = 0;
    let mut at = 0;
    while at + 12 <= size {
        let mut fields = notes.fields(at, 12, what)?;
        let name_size = u64::from(fields.u32()?);
        let description_size = u64::from(fields.u32()?);
        let kind = fields.u32()?;
        let name = notes.slice(at + 12, name_size, what)?;
        let description = (at + 12 + name_size).next_multiple_of(align);
        if kind == NT_GNU_PROPERTY_TYPE_0 && name == b"GNU\0" {
            isa |= property(notes, description, description_size)?;
        }
        at = (description + description_size).next_multiple_of(align);
    }
    Ok(isa)
}

/// The ISA bits among the properties of one note description.
fn property(notes: Reader<'_>, mut at: u64, size: u64) -> Result<u32, ElfError> {
    let what = "GNU property";
    notes.slice(at, size, what)?;
    let end = at + size;
    let align = match notes.encoding.class {
        Class::Elf32 => 4,
        Class::Elf64 => 8,
    };
    let mut isa = 0;
    while at + 8 <= end {
        let mut fields = notes.fields(at, 8, what)?;
        let kind = fields.u32()?;
        let data_size = u64::from(fields.u32()?);
        if kind == GNU_PROPERTY_X86_ISA_1_NEEDED && data_size == 4 {
            isa |= notes.fields(at + 8, 4, what)?.u32()?;
        }
        at = (at + 8 + data_size).next_multiple_of(align);
    }
    Ok(isa)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{Encoding, Record};
    use crate::header::Endian;

    fn note(encoding: Encoding, properties: &[(u32, u32)]) -> Vec<u8> {
        let pad = encoding.class == Class::Elf64;
        let each = if pad { 16 } else { 12 };
        let count = u32::try_from(properties.len()).unwrap();
        let mut record = Record::new(encoding)
            .u32(4)
            .u32(count * each)
            .u32(NT_GNU_PROPERTY_TYPE_0);
        record.bytes.extend(b"GNU\0");
        for (kind, value) in properties {
            record = record.u32(*kind).u32(4).u32(*value);
            if pad {
                record = record.u32(0);
            }
        }
        record.bytes
    }

    #[test]
    fn finds_the_isa_bits_in_both_classes() {
        for class in [Class::Elf32, Class::Elf64] {
            let encoding = Encoding {
                class,
                endian: Endian::Little,
            };
            let bytes = note(encoding, &[(0xc000_0002, 3), (0xc000_8002, 6)]);
            let reader = Reader::new(&bytes, encoding);
            let align = encoding.word_size();
            assert_eq!(x86_isa_needed(reader, 0, reader.length(), align), Ok(6));
        }
    }

    #[test]
    fn sizes_past_the_note_are_errors() {
        let encoding = Encoding {
            class: Class::Elf64,
            endian: Endian::Little,
        };
        let mut bytes = note(encoding, &[(0xc000_8002, 6)]);
        bytes.splice(4..8, [0xff; 4]);
        let reader = Reader::new(&bytes, encoding);
        assert!(x86_isa_needed(reader, 0, reader.length(), 8).is_err());
    }
}
