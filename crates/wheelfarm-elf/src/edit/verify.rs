//! The self-check: the result must read back as intended, and all else as before.

use std::borrow::Cow;

use super::headers::is_stray;
use super::layout::Layout;
use super::plan::Plan;
use super::{EditError, Edits};
use crate::constants::{DT_GNU_HASH, DT_HASH, PT_LOAD, PT_NOTE};
use crate::error::ElfError;
use crate::hash;
use crate::header::Header;
use crate::object::Elf;
use crate::segment::Segment;
use crate::symbols::DynamicSymbol;
use crate::versions::{VersionDefinition, VersionNeed};

/// Compares `edited` with the original and with what was asked for.
pub(super) fn verify(
    old: &Elf<'_>,
    edited: &[u8],
    plan: &Plan<'_>,
    layout: &Layout,
    edits: &Edits,
) -> Result<(), EditError> {
    let new = Elf::parse(edited)?;
    // Where tables overlap, one of them may have been written over another.
    check("headers", is_same_object(old, &new))?;
    check("program headers", new.segments == layout.segments)?;
    let names = &plan.names;
    check("sonames", new.soname() == names.soname.as_deref())?;
    check("needed libraries", new.needed() == names.needed)?;
    check("search paths", new.rpath() == names.rpath.as_deref())?;
    check("search paths", new.runpath() == names.runpath.as_deref())?;
    check(
        "interpreters",
        new.interpreter() == names.interpreter.as_deref(),
    )?;
    check(
        "version needs",
        new.version_needs() == version_needs(old, edits),
    )?;
    let definitions = version_definitions(old, plan);
    check(
        "version definitions",
        new.version_definitions() == definitions,
    )?;
    check(
        "dynamic symbols",
        new.dynamic_symbols()? == symbols(old, edits)?,
    )?;
    check("hash tables", hash_tables(old)? == hash_tables(&new)?)?;
    check("notes", notes_are_kept(old, &new)?)?;
    check("loadable segments", segments_are_sound(old, &new, layout))
}

/// Compares an object before and after its symbols were renamed, or lost their versions:
/// nothing else may have changed.
pub(super) fn verify_frame(before: &[u8], after: &[u8]) -> Result<(), EditError> {
    let old = Elf::parse(before)?;
    let new = Elf::parse(after)?;
    check("headers", is_same_object(&old, &new))?;
    check("program headers", old.segments == new.segments)?;
    check("section headers", old.sections == new.sections)?;
    check(
        "dynamic sections",
        old.dynamic_entries() == new.dynamic_entries(),
    )?;
    check("strings", old.strings.0 == new.strings.0)?;
    check("interpreters", old.interpreter() == new.interpreter())?;
    check("version needs", old.version_needs() == new.version_needs())?;
    check(
        "version definitions",
        old.version_definitions() == new.version_definitions(),
    )
}

fn check(what: &'static str, holds: bool) -> Result<(), EditError> {
    if holds {
        Ok(())
    } else {
        Err(EditError::SelfCheck(what))
    }
}

/// Whether the ELF header says the same, but for its ABI and the place of the program headers.
fn is_same_object(old: &Elf<'_>, new: &Elf<'_>) -> bool {
    let (old, new) = (&old.header, &new.header);
    let expected = Header {
        os_abi: new.os_abi,
        program_header_offset: new.program_header_offset,
        program_header_count: new.program_header_count,
        ..*old
    };
    *new == expected
}

fn version_needs<'a>(old: &'a Elf<'_>, edits: &'a Edits) -> Vec<VersionNeed<'a>> {
    old.version_needs()
        .iter()
        .filter_map(|need| {
            Some(VersionNeed {
                file: edits.version_file(need.file)?,
                versions: need.versions.clone(),
            })
        })
        .collect()
}

fn version_definitions<'a>(old: &'a Elf<'_>, plan: &'a Plan<'_>) -> Vec<VersionDefinition<'a>> {
    let mut definitions: Vec<VersionDefinition<'a>> = old.version_definitions().to_vec();
    if let Some((_, name)) = &plan.base_definition
        && let Some(base) = definitions
            .iter_mut()
            .find(|definition| definition.base && Some(definition.name) == old.soname())
    {
        base.name = name;
    }
    definitions
}

fn symbols<'a>(old: &'a Elf<'_>, edits: &'a Edits) -> Result<Vec<DynamicSymbol<'a>>, ElfError> {
    let mut symbols: Vec<DynamicSymbol<'a>> = old
        .dynamic_symbols()?
        .into_iter()
        .map(|symbol| DynamicSymbol {
            name: Cow::Owned(symbol.name.into_owned()),
            ..symbol
        })
        .collect();
    for symbol in &mut symbols {
        if let Some(file) = symbol.version_file {
            symbol.version_file = edits.version_file(file);
            if symbol.version_file.is_none() {
                symbol.version = None;
                symbol.hidden = false;
            }
        }
    }
    Ok(symbols)
}

/// The bytes of both hash tables.
fn hash_tables<'a>(elf: &Elf<'a>) -> Result<Vec<&'a [u8]>, ElfError> {
    let what = "hash table";
    let mut tables = Vec::new();
    if let Some(offset) = elf.dynamic_offset(DT_HASH, what)? {
        let size = hash::system_v(elf.reader, &elf.header, offset)?.size;
        tables.push(elf.reader.slice(offset, size, what)?);
    }
    if let Some(offset) = elf.dynamic_offset(DT_GNU_HASH, what)? {
        let size = hash::gnu(elf.reader, offset)?.size;
        tables.push(elf.reader.slice(offset, size, what)?);
    }
    Ok(tables)
}

/// Whether all note segments hold the same bytes, but for those that held no notes.
fn notes_are_kept(old: &Elf<'_>, new: &Elf<'_>) -> Result<bool, ElfError> {
    let notes = |elf: &Elf<'_>| -> Vec<Segment> {
        let all = elf.segments.iter();
        all.filter(|segment| segment.kind == PT_NOTE)
            .copied()
            .collect()
    };
    let (before, after) = (notes(old), notes(new));
    for (old_note, new_note) in before.iter().zip(&after) {
        let bytes = |elf: &Elf<'_>, note: &Segment| {
            let bytes = elf
                .reader
                .slice(note.offset, note.file_size, "note segment");
            bytes.map(<[u8]>::to_vec)
        };
        if !is_stray(old, old_note) && bytes(old, old_note)? != bytes(new, new_note)? {
            return Ok(false);
        }
    }
    Ok(before.len() == after.len())
}

/// Whether all loadable segments lie in the file, and those that changed are where
/// a loader can map them: aligned, and behind all others.
fn segments_are_sound(old: &Elf<'_>, new: &Elf<'_>, layout: &Layout) -> bool {
    let loadable = |elf: &Elf<'_>| -> Vec<Segment> {
        let all = elf
            .segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD);
        all.copied().collect()
    };
    let mut before = loadable(old);
    before.retain(|segment| !layout.dropped.contains(segment));
    before.extend(&layout.trimmed);
    before.sort_by_key(|segment| segment.address);
    let after = loadable(new);
    let unchanged = before.iter().filter(|old| after.contains(old)).count();
    let length = new.reader.length();
    let changed = after.iter().filter(|segment| !before.contains(segment));
    after.len() <= before.len() + 1
        && unchanged + 1 >= before.len()
        && changed.into_iter().all(|segment| {
            let align = segment.align.max(1);
            segment.offset % align == segment.address % align
                && segment.offset.saturating_add(segment.file_size) <= length
                && after.iter().all(|other| {
                    other == segment
                        || other.address.saturating_add(other.memory_size) <= segment.address
                })
        })
}
