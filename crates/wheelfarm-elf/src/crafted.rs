//! A small dynamic object, made by hand in any class and byte order, for tests.

use crate::bytes::{Encoding, Record};
use crate::constants::{
    DT_HASH, DT_NEEDED, DT_NULL, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, DT_SYMTAB, DT_VERNEED,
    DT_VERNEEDNUM, DT_VERSYM, EM_S390, ET_DYN, PT_DYNAMIC, PT_GNU_STACK, PT_LOAD,
};
use crate::dynamic::DynamicEntry;
use crate::header::{Class, Endian, Header};
use crate::segment::Segment;

/// `\0`-joined names; the offsets are used below.
pub(crate) const STRINGS: &[u8] =
    b"\0libcrafted.so.1\0libz.so.1\0ZLIB_1.2.9\0inflate\0made\0$ORIGIN\0";

/// All four encodings.
pub(crate) fn encodings() -> impl Iterator<Item = Encoding> {
    [Class::Elf32, Class::Elf64].into_iter().flat_map(|class| {
        [Endian::Little, Endian::Big]
            .into_iter()
            .map(move |endian| Encoding { class, endian })
    })
}

fn symbol(encoding: Encoding, name: u32, info: u8, section: u16) -> Vec<u8> {
    let record = Record::new(encoding).u32(name);
    match encoding.class {
        Class::Elf32 => record.u32(0).u32(0).u8(info).u8(0).u16(section).bytes,
        Class::Elf64 => record.u8(info).u8(0).u16(section).word(0).word(0).bytes,
    }
}

/// A library without section headers that is mapped at its file offsets, defines
/// `made` and needs `inflate@ZLIB_1.2.9` of `libz.so.1`. `spare` extra `DT_NULL`s.
pub(crate) fn library(encoding: Encoding, spare: usize) -> Vec<u8> {
    let class = encoding.class;
    let header_size = Header::size(class);
    let segments = 3;
    let mut body = Vec::new();
    let base = header_size + segments * Header::program_header_size(class);
    let mut place = |bytes: &[u8]| {
        let position = (base + body.len() as u64).next_multiple_of(8);
        body.resize(usize::try_from(position - base).unwrap(), 0);
        body.extend_from_slice(bytes);
        position
    };
    let strings = place(STRINGS);
    let symbols = place(
        &[
            symbol(encoding, 0, 0, 0),
            symbol(encoding, 38, 0x12, 0),
            symbol(encoding, 46, 0x22, 7),
        ]
        .concat(),
    );
    // The machine is s390, which has 64-bit hash entries in ELF64.
    let mut record = Record::new(encoding);
    for value in [1, 3, 2, 0, 0, 0] {
        record = record.word(value);
    }
    let hash = place(&record.bytes);
    let versym = place(&Record::new(encoding).u16(0).u16(2).u16(1).bytes);
    let need = Record::new(encoding).u16(1).u16(1).u32(17).u32(16).u32(0);
    let need = need.u32(0x0827_e5b9).u16(0).u16(2).u32(27).u32(0);
    let verneed = place(&need.bytes);
    let entries = [
        (DT_NEEDED, 17),
        (DT_SONAME, 1),
        (DT_RUNPATH, 51),
        (DT_HASH, hash),
        (DT_STRTAB, strings),
        (DT_STRSZ, STRINGS.len() as u64),
        (DT_SYMTAB, symbols),
        (DT_VERSYM, versym),
        (DT_VERNEED, verneed),
        (DT_VERNEEDNUM, 1),
    ];
    let padding = std::iter::repeat_n((DT_NULL, 0), spare + 1);
    let dynamic: Vec<u8> = entries
        .into_iter()
        .chain(padding)
        .flat_map(|(tag, value)| DynamicEntry { tag, value }.to_bytes(encoding))
        .collect();
    let dynamic_at = place(&dynamic);
    let end = base + body.len() as u64;

    let segment = |kind, flags, offset, size| Segment {
        kind,
        flags,
        offset,
        address: offset,
        physical_address: offset,
        file_size: size,
        memory_size: size,
        align: 0x1_0000,
    };
    let mut bytes = b"\x7fELF".to_vec();
    bytes.push(if class == Class::Elf32 { 1 } else { 2 });
    bytes.push(if encoding.endian == Endian::Little {
        1
    } else {
        2
    });
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let header = Record::new(encoding)
        .u16(ET_DYN)
        .u16(EM_S390)
        .u32(1)
        .word(0)
        .word(header_size)
        .word(0)
        .u32(0x42)
        .u16(u16::try_from(header_size).unwrap())
        .u16(u16::try_from(Header::program_header_size(class)).unwrap())
        .u16(u16::try_from(segments).unwrap())
        .u16(0)
        .u16(0)
        .u16(0);
    bytes.extend(header.bytes);
    // Zero-filled memory follows, as .bss does: the segment cannot be extended.
    let load = Segment {
        memory_size: end + 0x1234,
        ..segment(PT_LOAD, 6, 0, end)
    };
    bytes.extend(load.to_bytes(encoding));
    bytes.extend(segment(PT_DYNAMIC, 6, dynamic_at, dynamic.len() as u64).to_bytes(encoding));
    bytes.extend(segment(PT_GNU_STACK, 7, 0, 0).to_bytes(encoding));
    bytes.extend(body);
    bytes
}

mod tests {
    use super::*;
    use crate::{Binding, Elf, ElfError, SymbolKind, VersionNeed, VersionNeedEntry};

    #[test]
    fn every_encoding_reads_the_same() {
        for encoding in encodings() {
            let bytes = library(encoding, 0);
            let elf = Elf::parse(&bytes).unwrap();
            assert_eq!(elf.header().class, encoding.class);
            assert_eq!(elf.header().endian, encoding.endian);
            assert_eq!(elf.header().machine, EM_S390);
            assert_eq!(elf.header().flags, 0x42);
            assert_eq!(elf.soname(), Some("libcrafted.so.1"));
            assert_eq!(elf.needed(), ["libz.so.1"]);
            assert_eq!(elf.runpath(), Some("$ORIGIN"));
            assert_eq!(elf.rpath(), None);
            assert_eq!(elf.interpreter(), None);
            assert!(elf.is_dynamic());
            assert!(elf.has_executable_stack());
            assert_eq!(elf.x86_isa_needed(), 0);
            let entry = VersionNeedEntry {
                name: "ZLIB_1.2.9",
                index: 2,
                weak: false,
            };
            let need = VersionNeed {
                file: "libz.so.1",
                versions: vec![entry],
            };
            assert_eq!(elf.version_needs(), [need]);

            // ELF32 s390 has 32-bit hash entries, ELF64 64-bit ones.
            let symbols = elf.dynamic_symbols().unwrap();
            let [inflate, made] = symbols.as_slice() else {
                panic!("expected two symbols, got {symbols:?}");
            };
            assert_eq!(inflate.name, "inflate");
            assert_eq!(inflate.kind, SymbolKind::Func);
            assert_eq!(inflate.binding, Binding::Global);
            assert!(!inflate.defined);
            assert_eq!(inflate.version, Some("ZLIB_1.2.9"));
            assert_eq!(inflate.version_file, Some("libz.so.1"));
            assert_eq!(made.name, "made");
            assert_eq!(made.binding, Binding::Weak);
            assert!(made.defined);
            assert_eq!(made.version, None);
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for encoding in encodings() {
            let bytes = library(encoding, 2);
            // Whatever is cut off, the dynamic section at the end is missing.
            for length in 0..bytes.len() {
                let cut = bytes.get(..length).unwrap();
                assert!(Elf::parse(cut).is_err(), "{encoding:?} cut at {length}");
            }
        }
    }

    #[test]
    fn endless_version_chains_are_refused() {
        let encoding = Encoding {
            class: Class::Elf64,
            endian: Endian::Little,
        };
        let mut bytes = library(encoding, 0);
        let elf = Elf::parse(&bytes).unwrap();
        let need = usize::try_from(elf.raw_needs.first().unwrap().offset).unwrap();
        // vn_next points at the next byte, over and over: bounded by the file.
        bytes.splice(need + 12..need + 16, [1, 0, 0, 0]);
        // DT_VERNEEDNUM is the last entry before the one DT_NULL.
        let count = bytes.len() - 24;
        bytes.splice(count..count + 8, [0xff; 8]);
        assert!(matches!(
            Elf::parse(&bytes),
            Err(ElfError::Malformed { .. } | ElfError::Truncated { .. })
        ));
    }
}
