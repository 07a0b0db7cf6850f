//! Damaged objects: reading and editing them may fail, never panic.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::system_libraries;
use wheelfarm_elf::{Edits, Elf, RpathEdit, edit};

/// Edits that reach every part of the editor.
fn all_edits(elf: &Elf<'_>) -> Edits {
    let first = elf.needed().first().copied().unwrap_or("libc.so.6");
    let last = elf.needed().last().copied().unwrap_or("libc.so.6");
    let symbols = elf.dynamic_symbols().unwrap_or_default();
    let names: Vec<String> = symbols
        .iter()
        .map(|symbol| symbol.name.clone().into_owned())
        .filter(|name| !name.is_empty())
        .collect();
    Edits {
        soname: Some("libhostile.so.1".into()),
        replace_needed: BTreeMap::from([(first.to_owned(), "libnew.so".to_owned())]),
        remove_needed: BTreeSet::from([last.to_owned()]),
        add_needed: vec!["liba.so".into(), "libb.so".into()],
        rpath: RpathEdit::SetRpath("$ORIGIN/../hostile.libs".into()),
        interpreter: None,
        executable_stack: Some(true),
        no_default_libraries: true,
        debug_tag: true,
        os_abi: Some(3),
        clear_symbol_versions: names.iter().take(2).cloned().collect(),
        rename_symbols: names
            .iter()
            .map(|name| (name.clone(), format!("{name}_renamed")))
            .collect(),
        page_size: Some(0x1_0000),
    }
}

/// Whether `bytes` can be read and edited; anything but a panic will do.
fn exercise(bytes: &[u8], edits: &Edits) -> bool {
    let readable = Elf::parse(bytes).is_ok_and(|elf| {
        let _isa = elf.x86_isa_needed();
        elf.dynamic_symbols().is_ok()
    });
    match edit(bytes, edits) {
        Ok(edited) => {
            // What was let through is at least readable.
            assert!(Elf::parse(&edited).is_ok());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            readable
        }
    }
}

/// A small real library that needs versions of at least two others, if there is one.
fn victim() -> Vec<u8> {
    let libraries = system_libraries(usize::MAX).into_iter();
    let mut libraries: Vec<Vec<u8>> = libraries
        .map(|path| fs_err::read(path).expect("a readable library"))
        .collect();
    libraries.sort_by_key(|bytes| {
        let elf = Elf::parse(bytes).expect("a library");
        (
            elf.version_needs().len() < 2,
            elf.version_definitions().is_empty(),
            bytes.len(),
        )
    });
    libraries.swap_remove(0)
}

#[test]
fn truncated_objects() {
    let bytes = victim();
    let edits = all_edits(&Elf::parse(&bytes).unwrap());
    assert!(exercise(&bytes, &edits));
    let dense = 0..bytes.len().min(4096);
    let sparse = (4096..bytes.len()).step_by(61);
    for length in dense.chain(sparse) {
        let cut = bytes.get(..length).unwrap();
        // The section header table ends the file: no prefix is whole.
        assert!(!exercise(cut, &edits), "cut at {length}");
    }
}

#[test]
fn flipped_bits() {
    let bytes = victim();
    let elf = Elf::parse(&bytes).unwrap();
    let edits = all_edits(&elf);
    let sections = usize::try_from(elf.header().section_header_offset).unwrap();
    // Where the structure is: headers, dynamic tables, section headers.
    let structured = (0..bytes.len().min(0x3000)).chain(sections..bytes.len());
    let mut refused = 0;
    let mut tried = 0;
    for position in structured.step_by(3) {
        for mask in [1u8 << (position % 8), 0x80, 0xff] {
            let mut damaged = bytes.clone();
            if let Some(byte) = damaged.get_mut(position) {
                *byte ^= mask;
            }
            tried += 1;
            refused += u32::from(!exercise(&damaged, &edits));
        }
    }
    // Some damage must be noticed, and some is harmless.
    assert!(refused > 0 && refused < tried, "{refused} of {tried}");
}

#[test]
fn random_words() {
    let bytes = victim();
    let edits = all_edits(&Elf::parse(&bytes).unwrap());
    // A linear congruential generator: the same cases on every run.
    let mut state: u64 = 0x5eed;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let values = [
        0,
        1,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        u64::MAX,
        u64::MAX - 7,
        1 << 40,
    ];
    let mut refused = 0;
    for _ in 0..4000 {
        let mut damaged = bytes.clone();
        for _ in 0..=random() % 4 {
            let position = usize::try_from(random()).unwrap() % 0x1800.min(bytes.len() - 8);
            let position = position / 4 * 4;
            let value = values.get(usize::try_from(random() % 8).unwrap()).unwrap();
            damaged.splice(position..position + 8, value.to_le_bytes());
        }
        refused += u32::from(!exercise(&damaged, &edits));
    }
    assert!(refused > 0);
}
