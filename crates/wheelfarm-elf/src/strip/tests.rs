//! Objects made by hand, in every class and byte order.

use super::*;
use crate::bytes::{Encoding, Record};
use crate::constants::{
    DT_STRTAB, DT_SYMTAB, SHF_ALLOC, SHT_DYNSYM, SHT_PROGBITS, SHT_RELA, SHT_STRTAB, SHT_SYMTAB,
};
use crate::crafted::{encodings, library};
use crate::header::{Class, Header};
use crate::section::Section;
use crate::symbols::RawSymbol;
use crate::{Edits, RpathEdit, edit};

/// Names, types and contents of the sections that `with_sections` adds. What goes stands before what stays, so
/// that every index changes.
const SECTIONS: [(&str, u32, usize); 7] = [
    (".debug_info", SHT_PROGBITS, 300),
    (".rela.debug_info", SHT_RELA, 48),
    (".symtab", SHT_SYMTAB, 96),
    (".strtab", SHT_STRTAB, 10),
    (".comment", SHT_PROGBITS, 11),
    (".stabstr", SHT_STRTAB, 9),
    (".notes", SHT_PROGBITS, 5),
];

/// The crafted library with section headers: those of [`SECTIONS`], then the dynamic symbols and the names.
fn with_sections(encoding: Encoding) -> Vec<u8> {
    let mut bytes = library(encoding, 1);
    let elf = Elf::parse(&bytes).unwrap();
    let symbols = elf.dynamic_value(DT_SYMTAB).unwrap();
    let size = RawSymbol::size(encoding.class);
    let empty = Section {
        name: 0,
        kind: 0,
        flags: 0,
        address: 0,
        offset: 0,
        size: 0,
        link: 0,
        info: 0,
        align: 4,
        entry_size: 0,
    };
    let mut sections = vec![Section { align: 0, ..empty }];
    let mut names = vec![0];
    let name = |name: &str, names: &mut Vec<u8>| {
        let start = u32::try_from(names.len()).unwrap();
        names.extend(name.as_bytes());
        names.push(0);
        start
    };
    for (title, kind, length) in SECTIONS {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        sections.push(Section {
            name: name(title, &mut names),
            kind,
            offset: bytes.len() as u64,
            size: length as u64,
            link: if kind == SHT_SYMTAB { 4 } else { 0 },
            ..empty
        });
        bytes.resize(bytes.len() + length, title.len().try_into().unwrap());
    }
    sections.push(Section {
        name: name(".dynsym", &mut names),
        kind: SHT_DYNSYM,
        flags: SHF_ALLOC,
        address: symbols,
        offset: symbols,
        size: 3 * size,
        entry_size: size,
        ..empty
    });
    // The crafted symbol is of section 7: `.notes`.
    let shstrtab = name(".shstrtab", &mut names);
    sections.push(Section {
        name: shstrtab,
        kind: SHT_STRTAB,
        offset: bytes.len() as u64,
        size: names.len() as u64,
        align: 1,
        ..empty
    });
    bytes.extend(&names);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let table = bytes.len() as u64;
    for section in &sections {
        bytes.extend(section.to_bytes(encoding));
    }
    let record = || Record::new(encoding);
    let (offset_at, size_at) = match encoding.class {
        Class::Elf32 => (0x20, 0x2e),
        Class::Elf64 => (0x28, 0x3a),
    };
    let put = |bytes: &mut Vec<u8>, at: usize, new: Vec<u8>| {
        bytes.splice(at..at + new.len(), new);
    };
    put(&mut bytes, offset_at, record().word(table).bytes);
    let count = u16::try_from(sections.len()).unwrap();
    let numbers = record()
        .u16(u16::try_from(Header::section_header_size(encoding.class)).unwrap())
        .u16(count)
        .u16(count - 1);
    put(&mut bytes, size_at, numbers.bytes);
    bytes
}

fn section_names(bytes: &[u8]) -> Vec<String> {
    let elf = Elf::parse(bytes).unwrap();
    let selection = select::select(&elf).unwrap();
    assert!(!selection.drops_some());
    let names = selection.names.into_iter();
    names
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect()
}

/// The section indices of the dynamic symbols.
fn symbol_sections(bytes: &[u8]) -> Vec<u16> {
    let elf = Elf::parse(bytes).unwrap();
    let table = elf.symbol_table().unwrap().unwrap();
    let size = RawSymbol::size(elf.header.class);
    (0..table.count)
        .map(|index| RawSymbol::parse(elf.reader, table.offset + index * size).unwrap())
        .map(|symbol| symbol.section)
        .collect()
}

#[test]
fn every_encoding_is_stripped_alike() {
    for encoding in encodings() {
        let bytes = with_sections(encoding);
        let stripped = strip(&bytes).unwrap();
        assert!(stripped.len() + 400 < bytes.len(), "{encoding:?}");
        assert_eq!(
            section_names(&stripped),
            ["", ".comment", ".notes", ".dynsym", ".shstrtab"]
        );
        let elf = Elf::parse(&stripped).unwrap();
        let content = |section: &Section| {
            let bytes = elf.reader.slice(section.offset, section.size, "x");
            bytes.unwrap().to_vec()
        };
        assert_eq!(content(elf.sections.get(1).unwrap()), [8; 11]);
        assert_eq!(content(elf.sections.get(2).unwrap()), [6; 5]);
        // `.notes` was section 7.
        assert_eq!(symbol_sections(&bytes), [0, 0, 7]);
        assert_eq!(symbol_sections(&stripped), [0, 0, 2]);
        assert_eq!(strip(&stripped).as_ref(), Ok(&stripped));
    }
}

#[test]
fn what_a_loader_maps_is_the_same_before_and_after_an_edit() {
    let edits = Edits {
        soname: Some("a-much-longer-name-than-it-had-before.so.1".into()),
        rpath: RpathEdit::SetRpath("$ORIGIN/../some/other/directory.libs".into()),
        ..Edits::default()
    };
    for encoding in encodings() {
        let bytes = with_sections(encoding);
        let first = strip(&edit(&bytes, &edits).unwrap()).unwrap();
        let last = edit(&strip(&bytes).unwrap(), &edits).unwrap();
        for result in [&first, &last] {
            let elf = Elf::parse(result).unwrap();
            assert_eq!(elf.soname(), edits.soname.as_deref());
            assert_eq!(elf.needed(), ["libz.so.1"]);
            assert_eq!(elf.dynamic_symbols().unwrap().len(), 2);
        }
        // The appended segment moved up over what was dropped.
        assert!(first.len() < bytes.len() + 0x1_0000, "{encoding:?}");
        assert_eq!(strip(&first).as_ref(), Ok(&first));
    }
}

#[test]
fn objects_without_sections_are_left_alone() {
    for encoding in encodings() {
        let bytes = library(encoding, 0);
        assert_eq!(strip(&bytes).as_ref(), Ok(&bytes));
    }
}

#[test]
fn what_follows_the_object_is_not_lost() {
    for encoding in encodings() {
        let mut bytes = with_sections(encoding);
        let end = bytes.len() as u64;
        let plain = strip(&bytes).unwrap();
        bytes.extend([0; 32]);
        assert_eq!(strip(&bytes).as_ref(), Ok(&plain), "zeros are padding");
        bytes.extend(b"PK\x05\x06");
        let error = StripError::TrailingData {
            offset: end,
            length: 36,
        };
        assert_eq!(strip(&bytes), Err(error));
    }
}

#[test]
fn other_kinds_of_objects_are_refused() {
    let mut bytes = with_sections(Encoding {
        class: Class::Elf64,
        endian: crate::Endian::Little,
    });
    bytes.splice(16..18, [1, 0]);
    assert_eq!(strip(&bytes), Err(StripError::NotLinked(1)));
    assert_eq!(
        strip(b"#!/bin/sh\n"),
        Err(StripError::Elf(ElfError::NotElf))
    );
}

#[test]
fn damage_is_an_error_or_harmless() {
    for encoding in encodings() {
        let bytes = with_sections(encoding);
        for length in 0..bytes.len() {
            let cut = bytes.get(..length).unwrap();
            assert!(strip(cut).is_err(), "cut at {length}");
        }
        for position in 0..bytes.len() {
            for mask in [1, 0xff] {
                let mut damaged = bytes.clone();
                if let Some(byte) = damaged.get_mut(position) {
                    *byte ^= mask;
                }
                if let Ok(stripped) = strip(&damaged) {
                    assert!(Elf::parse(&stripped).is_ok());
                    assert!(stripped.len() <= damaged.len() + 4096);
                }
            }
        }
    }
}

#[test]
fn a_name_of_section_zero_does_not_outlive_the_names() {
    for encoding in encodings() {
        let mut bytes = with_sections(encoding);
        let elf = Elf::parse(&bytes).unwrap();
        let last = elf.sections.last().unwrap().name;
        let at = usize::try_from(elf.header.section_header_offset).unwrap();
        // The last of the old names; the new table is shorter.
        bytes.splice(at..at + 4, Record::new(encoding).u32(last).bytes);
        let stripped = strip(&bytes).unwrap();
        assert_eq!(strip(&stripped), Ok(stripped));
    }
}

#[test]
fn symbols_in_the_place_of_strings_do_not_change_them() {
    let is_one = |encoding: &Encoding| {
        encoding.class == Class::Elf64 && encoding.endian == crate::Endian::Little
    };
    let mut bytes = with_sections(encodings().find(is_one).unwrap());
    let elf = Elf::parse(&bytes).unwrap();
    let strings = elf.dynamic_value(DT_STRTAB).unwrap();
    let dynsym = elf.sections.iter().position(|one| one.kind == SHT_DYNSYM);
    let header = elf.header.section_header_offset + 64 * dynsym.unwrap() as u64;
    // The section of the dynamic symbols says that they lie where the strings do, and in the
    // RUNPATH stands what would be the number of a section.
    let at = usize::try_from(header).unwrap() + 24;
    let number = usize::try_from(strings).unwrap() + 2 * 24 + 6;
    bytes.splice(at..at + 8, strings.to_le_bytes());
    bytes.splice(number..number + 2, [5, 0]);
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.runpath(), Some("$OR\u{5}"));
    assert_eq!(strip(&bytes), Err(StripError::SelfCheck("strings")));
}
