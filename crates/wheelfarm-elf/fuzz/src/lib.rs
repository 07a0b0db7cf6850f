//! Edits from a few bytes, for the fuzz target `edit`.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use wheelfarm_elf::{Edits, Elf, RpathEdit};

/// What to change, one byte each: names are numbers into a list that begins with the object's own.
#[derive(Debug, Arbitrary)]
struct Wish {
    soname: u8,
    replace: [u8; 4],
    remove: [u8; 2],
    add: [u8; 2],
    rpath_kind: u8,
    rpath: u8,
    interpreter: u8,
    flags: u8,
    abi: u8,
    clear: u8,
    rename: [u8; 4],
    page: u8,
}

/// How many bytes at the start of the input say what to change; the object follows.
pub const WISH: usize = 20;

/// The edits that `bytes` ask for, of `elf` if it can be read.
pub fn edits(bytes: &[u8], elf: Option<&Elf<'_>>) -> Edits {
    let Ok(wish) = Wish::arbitrary(&mut Unstructured::new(bytes)) else {
        return Edits::default();
    };
    let libraries = libraries(elf);
    let symbols = symbols(elf);
    let library = |number| pick(&libraries, number);
    let symbol = |number| pick(&symbols, number);
    let pairs = |one: Option<String>, other: Option<String>| one.zip(other);
    let [from, to, from_2, to_2] = wish.replace;
    let replace_needed = [
        pairs(library(from), library(to)),
        pairs(library(from_2), library(to_2)),
    ];
    let [old, new, old_2, new_2] = wish.rename;
    let rename_symbols = [
        pairs(symbol(old), symbol(new)),
        pairs(symbol(old_2), symbol(new_2)),
    ];
    let path = library(wish.rpath).unwrap_or_default();
    Edits {
        soname: library(wish.soname),
        replace_needed: replace_needed.into_iter().flatten().collect(),
        remove_needed: wish.remove.into_iter().filter_map(library).collect(),
        add_needed: wish.add.into_iter().filter_map(library).collect(),
        rpath: match wish.rpath_kind % 4 {
            0 => RpathEdit::Keep,
            1 => RpathEdit::Remove,
            2 => RpathEdit::SetRpath(path),
            _ => RpathEdit::SetRunpath(path),
        },
        interpreter: library(wish.interpreter),
        executable_stack: (wish.flags & 1 != 0).then_some(wish.flags & 2 != 0),
        no_default_libraries: wish.flags & 4 != 0,
        debug_tag: wish.flags & 8 != 0,
        os_abi: (wish.flags & 16 != 0).then_some(wish.abi),
        clear_symbol_versions: symbol(wish.clear).into_iter().collect(),
        rename_symbols: rename_symbols.into_iter().flatten().collect(),
        page_size: (wish.page != 0).then(|| 1 << (wish.page & 63)),
    }
}

fn pick(names: &[String], number: u8) -> Option<String> {
    let index = usize::from(number.checked_sub(1)?);
    names.get(index % names.len()).cloned()
}

fn libraries(elf: Option<&Elf<'_>>) -> Vec<String> {
    let own = elf.into_iter().flat_map(|elf| {
        let needed = elf.needed().iter().copied();
        needed.take(8).chain(elf.soname())
    });
    let others = ["libnew.so.1", "so.1", "$ORIGIN/../x.libs", "", "a\0b", "ü"];
    let long = "long".repeat(100);
    own.chain(others)
        .chain([long.as_str()])
        .map(str::to_owned)
        .collect()
}

fn symbols(elf: Option<&Elf<'_>>) -> Vec<String> {
    let own = elf.and_then(|elf| elf.dynamic_symbols().ok());
    let own = own.into_iter().flatten().take(20);
    own.map(|symbol| symbol.name.into_owned())
        .chain(["renamed", "e", ""].map(str::to_owned))
        .collect()
}

/// Whether `edits` applied a second time should change nothing. Swapped names swap back.
pub fn are_settled(edits: &Edits) -> bool {
    let settled = |map: &BTreeMap<String, String>, more: &BTreeSet<String>| {
        map.iter()
            .all(|(old, new)| old == new || !map.contains_key(new) && !more.contains(new))
    };
    let moves = edits
        .add_needed
        .iter()
        .any(|name| edits.remove_needed.contains(name) || edits.replace_needed.contains_key(name));
    settled(&edits.replace_needed, &edits.remove_needed)
        && settled(&edits.rename_symbols, &edits.clear_symbol_versions)
        && !moves
}
