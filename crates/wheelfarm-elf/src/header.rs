//! The ELF header (gABI "ELF Header").

use crate::bytes::{Encoding, Reader};
use crate::error::ElfError;

const MAGIC: &[u8] = b"\x7fELF";
/// `e_phnum` when the true count is in `sh_info` of section 0.
const PN_XNUM: u16 = 0xffff;
/// `e_shstrndx` when the true index is in `sh_link` of section 0.
const SHN_XINDEX: u16 = 0xffff;

/// Width of addresses (`EI_CLASS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 32-bit object.
    Elf32,
    /// 64-bit object.
    Elf64,
}

/// Byte order (`EI_DATA`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// The ELF header: what the object is and where its two tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width of addresses (`EI_CLASS`).
    pub class: Class,
    /// Byte order (`EI_DATA`).
    pub endian: Endian,
    /// `EI_OSABI`.
    pub os_abi: u8,
    /// `e_type`: one of the `ET_*` constants.
    pub kind: u16,
    /// `e_machine`: one of the `EM_*` constants.
    pub machine: u16,
    /// `e_flags`, meaning depends on the machine.
    pub flags: u32,
    /// `e_phoff`: file offset of the program header table.
    pub program_header_offset: u64,
    /// Number of program headers, extended numbering resolved.
    pub program_header_count: u64,
    /// `e_shoff`: file offset of the section header table; 0 when there is none.
    pub section_header_offset: u64,
    /// Number of section headers, extended numbering resolved.
    pub section_header_count: u64,
    /// Index of the section with the section names.
    pub section_names_index: u64,
}

/// Whether `bytes` begin with the ELF magic.
pub(crate) fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Header {
    pub(crate) fn encoding(&self) -> Encoding {
        Encoding {
            class: self.class,
            endian: self.endian,
        }
    }

    /// Size in bytes of an ELF header of this class.
    pub(crate) fn size(class: Class) -> u64 {
        match class {
            Class::Elf32 => 52,
            Class::Elf64 => 64,
        }
    }

    /// Size in bytes of one program header (`e_phentsize`).
    pub(crate) fn program_header_size(class: Class) -> u64 {
        match class {
            Class::Elf32 => 32,
            Class::Elf64 => 56,
        }
    }

    /// Size in bytes of one section header (`e_shentsize`).
    pub(crate) fn section_header_size(class: Class) -> u64 {
        match class {
            Class::Elf32 => 40,
            Class::Elf64 => 64,
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Header, ElfError> {
        if !has_magic(bytes) {
            return Err(ElfError::NotElf);
        }
        let what = "ELF header";
        let ident = bytes
            .first_chunk::<16>()
            .ok_or_else(|| ElfError::malformed(what, "shorter than e_ident"))?;
        let [_, _, _, _, class, data, version, os_abi, ..] = *ident;
        let unsupported = |what, value: u8| ElfError::Unsupported {
            what,
            value: u64::from(value),
        };
        let class = match class {
            1 => Class::Elf32,
            2 => Class::Elf64,
            other => return Err(unsupported("EI_CLASS", other)),
        };
        let endian = match data {
            1 => Endian::Little,
            2 => Endian::Big,
            other => return Err(unsupported("EI_DATA", other)),
        };
        if version != 1 {
            return Err(unsupported("EI_VERSION", version));
        }
        let encoding = Encoding { class, endian };
        let reader = Reader::new(bytes, encoding);
        let mut fields = reader.fields(16, Header::size(class) - 16, what)?;
        let kind = fields.u16()?;
        let machine = fields.u16()?;
        let _version = fields.u32()?;
        let _entry = fields.word()?;
        let program_header_offset = fields.word()?;
        let section_header_offset = fields.word()?;
        let flags = fields.u32()?;
        let _header_size = fields.u16()?;
        let program_header_size = fields.u16()?;
        let program_headers = fields.u16()?;
        let section_header_size = fields.u16()?;
        let section_headers = fields.u16()?;
        let section_names = fields.u16()?;

        let mut header = Header {
            class,
            endian,
            os_abi,
            kind,
            machine,
            flags,
            program_header_offset,
            program_header_count: u64::from(program_headers),
            section_header_offset,
            section_header_count: u64::from(section_headers),
            section_names_index: u64::from(section_names),
        };
        if section_header_offset == 0 {
            header.section_header_count = 0;
        }
        header.resolve_extended_numbering(reader, program_headers, section_names)?;
        if header.program_header_count > 0
            && u64::from(program_header_size) != Header::program_header_size(class)
        {
            return Err(ElfError::Unsupported {
                what: "e_phentsize",
                value: u64::from(program_header_size),
            });
        }
        if header.section_header_count > 0
            && u64::from(section_header_size) != Header::section_header_size(class)
        {
            return Err(ElfError::Unsupported {
                what: "e_shentsize",
                value: u64::from(section_header_size),
            });
        }
        Ok(header)
    }

    /// Counts that do not fit in 16 bits live in section header 0.
    fn resolve_extended_numbering(
        &mut self,
        reader: Reader<'_>,
        program_headers: u16,
        section_names: u16,
    ) -> Result<(), ElfError> {
        let extended_sections = self.section_header_count == 0 && self.section_header_offset != 0;
        if !extended_sections && program_headers != PN_XNUM && section_names != SHN_XINDEX {
            return Ok(());
        }
        if self.section_header_offset == 0 {
            return Ok(());
        }
        let first = crate::section::Section::parse(reader, self.section_header_offset)?;
        if extended_sections {
            self.section_header_count = first.size;
        }
        if program_headers == PN_XNUM {
            self.program_header_count = u64::from(first.info);
        }
        if section_names == SHN_XINDEX {
            self.section_names_index = u64::from(first.link);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ident(class: u8, data: u8) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([class, data, 1, 0]);
        bytes.resize(64, 0);
        bytes
    }

    #[test]
    fn class_and_byte_order_must_be_known() {
        assert!(Header::parse(&ident(1, 1)).is_ok());
        assert_eq!(
            Header::parse(&ident(3, 1)),
            Err(ElfError::Unsupported {
                what: "EI_CLASS",
                value: 3
            })
        );
        assert_eq!(
            Header::parse(&ident(2, 0)),
            Err(ElfError::Unsupported {
                what: "EI_DATA",
                value: 0
            })
        );
    }

    #[test]
    fn short_headers_are_truncated() {
        let bytes = ident(2, 1);
        assert!(matches!(
            Header::parse(bytes.get(..63).unwrap()),
            Err(ElfError::Truncated {
                what: "ELF header",
                ..
            })
        ));
        assert!(Header::parse(bytes.get(..5).unwrap()).is_err());
    }
}
