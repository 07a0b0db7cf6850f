//! Sections of dynamic symbols, renumbered. Loaders only ask whether a symbol has one, but tools look it up.

use super::StripError;
use super::layout::Layout;
use super::select::Selection;
use super::write::File;
use crate::bytes::Record;
use crate::constants::{DT_SYMTAB, SHN_LORESERVE, SHN_XINDEX, SHT_DYNSYM, SHT_SYMTAB_SHNDX};
use crate::header::Class;
use crate::object::Elf;
use crate::section::Section;
use crate::symbols::RawSymbol;

/// Writes the new indices into `file`.
pub(super) fn renumber(
    elf: &Elf<'_>,
    selection: &Selection<'_>,
    layout: &Layout,
    file: &mut File,
) -> Result<(), StripError> {
    let table = elf
        .dynamic_value(DT_SYMTAB)
        .and_then(|address| elf.section_index(SHT_DYNSYM, address))
        .and_then(|index| Some((index, elf.sections.get(index)?)));
    let Some((index, table)) = table.filter(|(_, table)| table.is_in_file()) else {
        return Ok(());
    };
    let what = "dynamic symbols";
    elf.reader.slice(table.offset, table.size, what)?;
    let extended = elf.sections.iter().enumerate().find(|(_, extended)| {
        extended.kind == SHT_SYMTAB_SHNDX && usize::try_from(extended.link) == Ok(index)
    });
    let class = elf.header.class;
    let size = RawSymbol::size(class);
    let index_at = match class {
        Class::Elf32 => 14,
        Class::Elf64 => 6,
    };
    let homes = Homes::new(elf, selection);
    let place = |index: usize| layout.sections.get(index).copied().unwrap_or(0);
    for number in 1..table.size / size {
        let symbol = RawSymbol::parse(elf.reader, table.offset + number * size)?;
        let record = Record::new(elf.reader.encoding);
        if symbol.section == SHN_XINDEX {
            let Some((index, extended)) = extended.filter(|(_, all)| number < all.size / 4) else {
                continue;
            };
            elf.reader.slice(extended.offset, extended.size, what)?;
            let at = extended.offset + number * 4;
            let old = elf.reader.fields(at, 4, what)?.u32()?;
            if let Some(new) = homes.of(old) {
                let new = u32::try_from(new).unwrap_or(old);
                file.put(place(index) + number * 4, &record.u32(new).bytes)?;
            }
        } else if symbol.section < SHN_LORESERVE
            && let Some(new) = homes.of(u32::from(symbol.section))
        {
            // It can only have become smaller.
            let new = u16::try_from(new).unwrap_or(symbol.section);
            let at = place(index) + number * size + index_at;
            file.put(at, &record.u16(new).bytes)?;
        }
    }
    Ok(())
}

/// New indices for old ones.
struct Homes<'s> {
    selection: &'s Selection<'s>,
    /// Where symbols of sections go that go away: index 0 would make them undefined.
    any: usize,
}

impl<'s> Homes<'s> {
    fn new(elf: &Elf<'_>, selection: &'s Selection<'s>) -> Homes<'s> {
        let is_mapped = |old: &usize| elf.sections.get(*old).is_some_and(Section::is_allocated);
        let any = selection.kept.iter().position(is_mapped).unwrap_or(1);
        Homes { selection, any }
    }

    /// The new index of section `old`; `None` if it does not change, or is no section's.
    fn of(&self, old: u32) -> Option<usize> {
        let old = usize::try_from(old).ok()?;
        let new = self.selection.renumbered.get(old)?.unwrap_or(self.any);
        (new != old).then_some(new)
    }
}
