//! Any edit of any object: refused, or done as asked and once for all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wheelfarm_elf::constants::{
    DT_DEBUG, PT_DYNAMIC, PT_GNU_PROPERTY, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_NOTE, PT_NULL,
    PT_PHDR,
};
use wheelfarm_elf::{Edits, Elf, RpathEdit, Segment, edit};
use wheelfarm_elf_fuzz::{WISH, are_settled, edits};

/// What the editor may fill with zeros to keep a program's headers where old kernels look for them.
const PADDING: usize = 64 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((wish, object)) = data.split_at_checked(WISH) else {
        return;
    };
    let parsed = Elf::parse(object);
    let edits = edits(wish, parsed.as_ref().ok());
    let Ok(edited) = edit(object, &edits) else {
        return;
    };
    let old = parsed.expect("what was edited could be read");
    let new = Elf::parse(&edited).expect("an edited object can be read");
    check_names(&old, &new, &edits);
    check_the_rest(&old, &new, &edits);
    check_size(object, &edited, &old, &edits);
    if are_settled(&edits) {
        let again = edit(&edited, &edits).expect("an edited object can be edited again");
        assert!(again == edited, "a second identical edit changes bytes");
    }
});

fn check_names(old: &Elf<'_>, new: &Elf<'_>, edits: &Edits) {
    assert_eq!(new.soname(), edits.soname.as_deref().or(old.soname()));
    let kept: Vec<&str> = old
        .needed()
        .iter()
        .filter(|name| !edits.remove_needed.contains(**name))
        .map(|name| {
            edits
                .replace_needed
                .get(*name)
                .map_or(*name, String::as_str)
        })
        .collect();
    let mut needed: Vec<&str> = Vec::new();
    for name in &edits.add_needed {
        if !kept.contains(&name.as_str()) && !needed.contains(&name.as_str()) {
            needed.push(name);
        }
    }
    needed.extend(kept);
    assert_eq!(new.needed(), needed);
    let (rpath, runpath) = match &edits.rpath {
        RpathEdit::Keep => (old.rpath(), old.runpath()),
        RpathEdit::Remove => (None, None),
        RpathEdit::SetRpath(path) => (Some(path.as_str()), None),
        RpathEdit::SetRunpath(path) => (None, Some(path.as_str())),
    };
    assert_eq!((new.rpath(), new.runpath()), (rpath, runpath));
    let interpreter = edits.interpreter.as_deref().or(old.interpreter());
    assert_eq!(new.interpreter(), interpreter);
    // Versions follow the libraries they are of.
    for need in new.version_needs() {
        let was = |old: &&str| {
            **old == *need.file
                || edits
                    .replace_needed
                    .get(*old)
                    .is_some_and(|n| n == need.file)
        };
        let mut before = old.version_needs().iter().map(|need| need.file);
        assert!(before.any(|file| was(&&file)));
    }
}

fn check_the_rest(old: &Elf<'_>, new: &Elf<'_>, edits: &Edits) {
    let before = old.header();
    let mut after = *new.header();
    assert_eq!(after.os_abi, edits.os_abi.unwrap_or(before.os_abi));
    after.os_abi = before.os_abi;
    after.program_header_offset = before.program_header_offset;
    after.program_header_count = before.program_header_count;
    assert_eq!(&after, before);
    if edits.debug_tag {
        assert!(
            new.dynamic_entries()
                .iter()
                .any(|entry| entry.tag == DT_DEBUG)
        );
    }
    assert!(!edits.no_default_libraries || new.no_default_libraries());
    if let Some(wanted) = edits.executable_stack
        && new
            .segments()
            .iter()
            .any(|segment| segment.kind == PT_GNU_STACK)
    {
        assert_eq!(new.has_executable_stack(), wanted);
    }
    // What the editor does not deal with stays: thread-local storage, relocation, unwinding.
    let foreign = |elf: &Elf<'_>| -> Vec<Segment> {
        let own = [
            PT_LOAD,
            PT_DYNAMIC,
            PT_INTERP,
            PT_NOTE,
            PT_GNU_PROPERTY,
            PT_GNU_STACK,
            PT_PHDR,
            PT_NULL,
        ];
        let all = elf.segments().iter();
        all.filter(|segment| !own.contains(&segment.kind))
            .copied()
            .collect()
    };
    assert_eq!(foreign(old), foreign(new));
    if let Ok(symbols) = old.dynamic_symbols() {
        let after = new
            .dynamic_symbols()
            .expect("symbols that could be read before");
        assert_eq!(after.len(), symbols.len());
    }
}

/// Strings, dynamic section, one block and the program headers are moved at most once.
fn check_size(object: &[u8], edited: &[u8], old: &Elf<'_>, edits: &Edits) {
    let asked: usize = edits
        .add_needed
        .iter()
        .chain(edits.replace_needed.values())
        .chain(edits.rename_symbols.values())
        .chain(&edits.soname)
        .chain(&edits.interpreter)
        .map(|name| name.len() + 1)
        .sum();
    let padding = if old.is_executable() { PADDING } else { 0 };
    let most = 3 * object.len() + asked + 4096 + 4096 + padding;
    assert!(edited.len() >= object.len() && edited.len() <= most);
}
