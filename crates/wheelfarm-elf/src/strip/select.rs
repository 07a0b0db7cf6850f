//! Which sections go.

use super::StripError;
use crate::constants::{
    SHT_GROUP, SHT_NULL, SHT_REL, SHT_RELA, SHT_STRTAB, SHT_SYMTAB, SHT_SYMTAB_SHNDX,
};
use crate::error::ElfError;
use crate::object::Elf;
use crate::section::Section;
use crate::strings::Strings;

/// Sections with debug information, by the beginning of their names. They carry no other mark. The list is BFD's
/// (`_bfd_elf_make_section_from_shdr`).
const DEBUG: [&[u8]; 6] = [
    b".debug",
    b".zdebug",
    b".gnu.debuglto_.debug_",
    b".gnu.linkonce.wi.",
    b".line",
    b".stab",
];

/// What stays, in order, and what every section's index becomes.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// Old indices of the sections that stay; the empty section 0 is first.
    pub(super) kept: Vec<usize>,
    /// New index by old index; `None` for sections that go.
    pub(super) renumbered: Vec<Option<usize>>,
    /// Names of the sections that stay, in order.
    pub(super) names: Vec<&'a [u8]>,
    /// Old index of the section with the names, if there is one.
    pub(super) names_section: Option<usize>,
}

impl Selection<'_> {
    /// Whether any section goes.
    pub(super) fn drops_some(&self) -> bool {
        self.kept.len() < self.renumbered.len()
    }

    /// The new index of section `old`; 0 if it is gone, or was no index.
    pub(super) fn index(&self, old: u32) -> usize {
        let old = usize::try_from(old).ok();
        old.and_then(|old| self.renumbered.get(old).copied().flatten())
            .unwrap_or(0)
    }

    /// Whether section `old` goes.
    pub(super) fn drops(&self, old: usize) -> bool {
        self.renumbered.get(old) == Some(&None)
    }
}

/// Decides about each section of `elf`.
pub(super) fn select<'a>(elf: &Elf<'a>) -> Result<Selection<'a>, StripError> {
    let names_section = usize::try_from(elf.header.section_names_index)
        .ok()
        .filter(|index| *index != 0 && *index < elf.sections.len());
    let what = "section names";
    let table = match names_section.and_then(|index| elf.sections.get(index)) {
        Some(section) => Strings(elf.reader.slice(section.offset, section.size, what)?),
        None => Strings(&[0]),
    };
    let mut selection = Selection {
        kept: Vec::new(),
        renumbered: Vec::with_capacity(elf.sections.len()),
        names: Vec::new(),
        names_section,
    };
    // Honest names are short; a table of overlapping ones must not make the new one huge.
    let mut budget = table.0.len().saturating_mul(4).saturating_add(4096);
    for (index, section) in elf.sections.iter().enumerate() {
        let name = if names_section.is_some() {
            table.bytes(u64::from(section.name), what)?
        } else {
            &[]
        };
        budget = budget
            .checked_sub(name.len())
            .ok_or_else(|| ElfError::malformed(what, "names overlap"))?;
        let stays = index == 0 || Some(index) == names_section || !goes(elf, index, section, name);
        selection
            .renumbered
            .push(stays.then_some(selection.kept.len()));
        if stays {
            selection.kept.push(index);
            selection.names.push(name);
        }
    }
    Ok(selection)
}

fn goes(elf: &Elf<'_>, index: usize, section: &Section, name: &[u8]) -> bool {
    if section.kind == SHT_NULL {
        return true;
    }
    if section.is_allocated() {
        return false;
    }
    match section.kind {
        SHT_SYMTAB | SHT_REL | SHT_RELA | SHT_GROUP => true,
        SHT_SYMTAB_SHNDX => !is_mapped(elf, section.link),
        SHT_STRTAB if is_used_by_symbols(elf, index) => true,
        _ => name == b".gdb_index" || DEBUG.iter().any(|start| name.starts_with(start)),
    }
}

fn is_mapped(elf: &Elf<'_>, index: u32) -> bool {
    let section = usize::try_from(index)
        .ok()
        .and_then(|index| elf.sections.get(index));
    section.is_some_and(Section::is_allocated)
}

/// Whether string table `index` is that of a symbol table.
fn is_used_by_symbols(elf: &Elf<'_>, index: usize) -> bool {
    elf.sections
        .iter()
        .any(|user| user.kind == SHT_SYMTAB && usize::try_from(user.link) == Ok(index))
}
