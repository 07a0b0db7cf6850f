//! Edits of a crafted object in every class and byte order, without section headers.

use super::*;
use crate::constants::{
    DT_DEBUG, DT_HASH, DT_MIPS_RLD_MAP_REL, DT_RUNPATH, EM_MIPS, PF_W, PT_DYNAMIC, PT_LOAD,
};
use crate::crafted::{encodings, library};
use crate::dynamic::DynamicEntry;
use crate::header::{Class, Endian};

fn repair() -> Edits {
    Edits {
        soname: Some("libcrafted-0a1b2c3d.so.1".into()),
        replace_needed: BTreeMap::from([("libz.so.1".into(), "libz-4e5f6a7b.so.1".into())]),
        rpath: RpathEdit::SetRpath("$ORIGIN/../crafted.libs".into()),
        ..Edits::default()
    }
}

#[test]
fn every_encoding_is_edited_alike() {
    for encoding in encodings() {
        // With and without room in the dynamic section: DT_RPATH replaces DT_RUNPATH,
        // so only the added library needs another entry.
        for spare in [0, 3] {
            let original = library(encoding, spare);
            let mut edits = repair();
            edits.add_needed = vec!["libfirst.so".into()];
            let edited = edit(&original, &edits).unwrap();
            let elf = Elf::parse(&edited).unwrap();
            assert_eq!(elf.soname(), Some("libcrafted-0a1b2c3d.so.1"));
            assert_eq!(elf.needed(), ["libfirst.so", "libz-4e5f6a7b.so.1"]);
            assert_eq!(elf.rpath(), Some("$ORIGIN/../crafted.libs"));
            assert_eq!(elf.runpath(), None);
            let files: Vec<_> = elf.version_needs().iter().map(|need| need.file).collect();
            assert_eq!(files, ["libz-4e5f6a7b.so.1"]);
            let symbols = elf.dynamic_symbols().unwrap();
            let inflate = symbols.first().unwrap();
            assert_eq!(inflate.version, Some("ZLIB_1.2.9"));
            assert_eq!(inflate.version_file, Some("libz-4e5f6a7b.so.1"));

            let loads: Vec<_> = elf
                .segments()
                .iter()
                .filter(|s| s.kind == PT_LOAD)
                .collect();
            let [first, new] = loads.as_slice() else {
                panic!("expected one new segment, got {loads:?}");
            };
            // 64 KiB pages, and no padding in the file to get there.
            assert_eq!(new.align, 0x1_0000);
            assert_eq!(new.offset % 0x1_0000, new.address % 0x1_0000);
            assert!(new.address >= (first.address + first.memory_size).next_multiple_of(0x1_0000));
            assert!(edited.len() < original.len() + 0x400, "{}", edited.len());
            let dynamic = elf
                .segments()
                .iter()
                .find(|s| s.kind == PT_DYNAMIC)
                .unwrap();
            let moved = dynamic.offset >= new.offset;
            assert_eq!(moved, spare == 0);
            assert_eq!(new.flags & PF_W != 0, moved);
        }
    }
}

#[test]
fn a_second_edit_extends_the_segment_of_the_first() {
    for encoding in encodings() {
        let once = edit(&library(encoding, 0), &repair()).unwrap();
        let more = Edits {
            soname: Some("libcrafted-once-more.so.1".into()),
            add_needed: vec!["liba.so".into(), "libb.so".into()],
            ..Edits::default()
        };
        let twice = edit(&once, &more).unwrap();
        let count = |bytes: &[u8]| Elf::parse(bytes).unwrap().segments().len();
        assert_eq!(count(&twice), count(&once));
        let elf = Elf::parse(&twice).unwrap();
        assert_eq!(elf.needed(), ["liba.so", "libb.so", "libz-4e5f6a7b.so.1"]);
        assert_eq!(elf.soname(), Some("libcrafted-once-more.so.1"));
    }
}

#[test]
fn removing_the_last_needed_library_empties_the_versions() {
    for encoding in encodings() {
        let original = library(encoding, 0);
        let edits = Edits {
            remove_needed: BTreeSet::from(["libz.so.1".to_owned()]),
            ..Edits::default()
        };
        let edited = edit(&original, &edits).unwrap();
        assert_eq!(edited.len(), original.len());
        let elf = Elf::parse(&edited).unwrap();
        assert_eq!(elf.needed(), Vec::<&str>::new());
        assert_eq!(elf.version_needs(), []);
        let symbols = elf.dynamic_symbols().unwrap();
        assert!(symbols.iter().all(|symbol| symbol.version.is_none()));
        // Other entries keep their values.
        let value = |elf: &Elf<'_>| elf.dynamic_value(DT_RUNPATH);
        assert_eq!(value(&elf), value(&Elf::parse(&original).unwrap()));
    }
}

#[test]
fn flags_and_tags_are_added_once() {
    for encoding in encodings() {
        for spare in [0, 3] {
            let edits = Edits {
                no_default_libraries: true,
                debug_tag: true,
                os_abi: Some(3),
                ..Edits::default()
            };
            let edited = edit(&library(encoding, spare), &edits).unwrap();
            let elf = Elf::parse(&edited).unwrap();
            assert!(elf.no_default_libraries());
            assert_eq!(elf.dynamic_value(DT_DEBUG), Some(0));
            assert_eq!(elf.header().os_abi, 3);
            assert_eq!(elf.needed(), ["libz.so.1"]);
            assert_eq!(edit(&edited, &edits).unwrap(), edited);
        }
    }
}

#[test]
fn symbols_lose_their_version_and_name() {
    for encoding in encodings() {
        let edits = Edits {
            clear_symbol_versions: BTreeSet::from(["inflate".to_owned()]),
            rename_symbols: BTreeMap::from([
                ("made".into(), "inflate".into()),
                ("inflate".into(), "wf_inflate".into()),
                ("absent".into(), "unused".into()),
            ]),
            ..Edits::default()
        };
        let edited = edit(&library(encoding, 0), &edits).unwrap();
        let elf = Elf::parse(&edited).unwrap();
        let symbols = elf.dynamic_symbols().unwrap();
        let [inflate, made] = symbols.as_slice() else {
            panic!("{symbols:?}");
        };
        assert_eq!(
            (inflate.name.as_ref(), inflate.version),
            ("wf_inflate", None)
        );
        assert_eq!((made.name.as_ref(), made.defined), ("inflate", true));
        // One bucket, in which the last symbol comes first.
        let hash = elf.dynamic_offset(DT_HASH, "hash").unwrap().unwrap();
        let words = encoding.word_size() * 6;
        let mut fields = elf.reader.fields(hash, words, "hash").unwrap();
        let table: Vec<_> = (0..6).map(|_| fields.word().unwrap()).collect();
        assert_eq!(table, [1, 3, 2, 0, 0, 1]);
        let unused = edited.windows(6).any(|bytes| bytes == b"unused");
        assert!(!unused, "names of absent symbols stay out");
    }
}

#[test]
fn a_library_that_is_removed_and_added_keeps_its_versions() {
    for encoding in encodings() {
        let edits = Edits {
            remove_needed: BTreeSet::from(["libz.so.1".to_owned()]),
            add_needed: vec!["libz.so.1".into()],
            ..Edits::default()
        };
        let original = library(encoding, 3);
        assert_eq!(edit(&original, &edits).unwrap(), original);
    }
}

#[test]
fn an_impossible_alignment_is_refused() {
    for encoding in encodings() {
        let mut bytes = library(encoding, 3);
        let elf = Elf::parse(&bytes).unwrap();
        let segment = crate::Segment {
            align: 0x3000,
            ..*elf.segments().first().unwrap()
        };
        let at = usize::try_from(elf.header().program_header_offset).unwrap();
        let row = segment.to_bytes(encoding);
        bytes.splice(at..at + row.len(), row);
        assert!(matches!(
            edit(&bytes, &repair()),
            Err(EditError::Unsupported(_))
        ));
    }
}

/// MIPS: debuggers find the link map at a distance from the dynamic entry itself, which must
/// lead to the same address when the entry moves, with the section or within it.
#[test]
fn the_mips_debug_map_is_found_from_where_its_entry_is() {
    const MAP: u64 = 0x1_0040;
    for encoding in encodings() {
        let original = library(encoding, 1);
        let elf = Elf::parse(&original).unwrap();
        let dynamic = elf.dynamic.as_ref().unwrap();
        let size = DynamicEntry::size(encoding);
        let target = |elf: &Elf<'_>| {
            let dynamic = elf.dynamic.as_ref().unwrap();
            let tag = |entry: &DynamicEntry| entry.tag == DT_MIPS_RLD_MAP_REL;
            let index = dynamic.entries.iter().position(tag).unwrap();
            let at = dynamic.address + index as u64 * size;
            let distance = dynamic.entries.get(index).unwrap().value;
            let address = at.wrapping_add(distance);
            // Addresses are as wide as the class.
            let wide = encoding.class == Class::Elf64;
            (
                dynamic.offset,
                if wide { address } else { address & 0xffff_ffff },
            )
        };
        let index = dynamic.entries.len() as u64;
        let entry = DynamicEntry {
            tag: DT_MIPS_RLD_MAP_REL,
            value: MAP.wrapping_sub(dynamic.address + index * size),
        };
        let at = usize::try_from(dynamic.offset + index * size).unwrap();
        let mut mips = original.clone();
        let bytes = entry.to_bytes(encoding);
        mips.splice(at..at + bytes.len(), bytes);
        if encoding.class == Class::Elf32 {
            let machine = match encoding.endian {
                Endian::Little => EM_MIPS.to_le_bytes(),
                Endian::Big => EM_MIPS.to_be_bytes(),
            };
            mips.splice(18..20, machine);
        }
        let (place, found) = target(&Elf::parse(&mips).unwrap());
        assert_eq!(found, MAP);

        let mut grown = repair();
        grown.add_needed = vec!["liba.so".into(), "libb.so".into(), "libc.so".into()];
        let edited = edit(&mips, &grown).unwrap();
        let (moved, found) = target(&Elf::parse(&edited).unwrap());
        assert!(moved != place && found == MAP, "{moved:#x} {found:#x}");

        let shrunk = Edits {
            remove_needed: BTreeSet::from(["libz.so.1".to_owned()]),
            ..Edits::default()
        };
        let edited = edit(&mips, &shrunk).unwrap();
        assert_eq!(target(&Elf::parse(&edited).unwrap()), (place, MAP));
    }
}

#[test]
fn tables_that_overlap_are_not_edited() {
    let encoding = encodings().last().unwrap();
    let mut bytes = library(encoding, 0);
    let elf = Elf::parse(&bytes).unwrap();
    // The stack's program header lies in what PT_DYNAMIC says are unused entries.
    let mut segments = elf.segments.clone();
    segments.rotate_right(1);
    let size = crate::header::Header::program_header_size(encoding.class);
    for segment in &mut segments {
        match segment.kind {
            PT_DYNAMIC => segment.file_size += size,
            PT_LOAD => segment.file_size += 3 * size,
            _ => {}
        }
    }
    let table: Vec<u8> = segments
        .iter()
        .flat_map(|segment| segment.to_bytes(encoding))
        .collect();
    let place = crate::bytes::Record::new(encoding).word(bytes.len() as u64);
    bytes.splice(0x20..0x28, place.bytes);
    bytes.extend(table);
    assert_eq!(Elf::parse(&bytes).unwrap().segments, segments);
    let edits = Edits {
        rpath: RpathEdit::Remove,
        ..Edits::default()
    };
    let refused = Err(EditError::SelfCheck("program headers"));
    assert_eq!(edit(&bytes, &edits), refused);
}
