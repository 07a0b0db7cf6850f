//! Writing the plan at its places.

use super::EditError;
use super::buffer::Buffer;
use super::layout::{Layout, Placed};
use super::plan::{Plan, interpreter_segment};
use super::reuse;
use super::space::next;
use super::{vacated, versions};
use crate::bytes::Record;
use crate::constants::{
    DT_GNU_HASH, DT_HASH, DT_MIPS_RLD_MAP_REL, DT_MIPS_XHASH, DT_NULL, DT_STRSZ, DT_STRTAB,
    DT_SYMTAB, DT_VERDEF, DT_VERNEED, DT_VERSYM, PT_LOAD, SHT_DYNAMIC, SHT_GNU_VERNEED, SHT_NOBITS,
    SHT_PROGBITS, SHT_STRTAB, SHT_SYMTAB,
};
use crate::dynamic::{Dynamic, DynamicEntry};
use crate::header::{Class, Header};
use crate::object::Elf;
use crate::section::Section;
use crate::strings::Strings;
use crate::symbols::RawSymbol;

/// A payload keeps its alignment up to this.
const PAYLOAD_ALIGN: u64 = 64;

/// The edited object.
pub(super) fn apply(
    elf: &Elf<'_>,
    dynamic: &Dynamic,
    plan: &Plan<'_>,
    layout: &Layout,
) -> Result<Vec<u8>, EditError> {
    let mut buffer = Buffer(elf.reader.bytes.to_vec());
    // Edits in place come first: the block that moves is copied with them.
    plan.needs.apply(elf, &mut buffer)?;
    if let Some((offset, name)) = &plan.base_definition {
        versions::rename_base_definition(elf, *offset, name, &mut buffer)?;
    }
    let sections = sections(elf, dynamic, plan, layout);
    symbols(elf, dynamic, layout, &sections, &mut buffer)?;

    let mut parts: Vec<(Placed, Vec<u8>)> = Vec::new();
    if let Some((block, placed)) = layout.block {
        parts.push((placed, buffer.copy(block.offset, block.size)?));
    }
    if let Some(placed) = layout.strings {
        parts.push((placed, plan.pool.to_bytes()));
        vacated::clear_strings(elf, &mut buffer)?;
    }
    if let (Some(placed), Some(path)) = (layout.interpreter, &plan.interpreter) {
        parts.push((placed, path.clone()));
    }
    let table: Vec<u8> = layout
        .segments
        .iter()
        .flat_map(|segment| segment.to_bytes(elf.reader.encoding))
        .collect();
    match layout.table {
        Some(placed) => parts.push((placed, table)),
        None => buffer.put(elf.header.program_header_offset, &table)?,
    }
    let entries = dynamic_section(elf, dynamic, plan, layout);
    match layout.dynamic {
        Some(placed) => parts.push((placed, entries)),
        None => buffer.put(dynamic.offset, &entries)?,
    }
    parts.sort_by_key(|(placed, _)| placed.offset);
    if let Some(end) = layout.file_end {
        buffer.truncate(end);
    }
    let grows = !parts.is_empty();
    for (placed, bytes) in parts {
        buffer.append(placed.offset, &bytes)?;
    }
    // Programs look for their payload at the end of the file, or where it was: it is
    // in both places then.
    if grows && let Some((start, bytes)) = reuse::payload(elf) {
        let end = next(buffer.0.len() as u64, PAYLOAD_ALIGN, start);
        buffer.append(end.unwrap_or(start), bytes)?;
    }
    header(elf, layout, &mut buffer)?;
    for (index, section) in sections.iter().enumerate() {
        let size = Header::section_header_size(elf.header.class);
        let offset = elf.header.section_header_offset + index as u64 * size;
        buffer.put(offset, &section.to_bytes(elf.reader.encoding))?;
    }
    Ok(buffer.0)
}

/// Place and number of the program headers.
fn header(elf: &Elf<'_>, layout: &Layout, buffer: &mut Buffer) -> Result<(), EditError> {
    let (offset_at, count_at) = match elf.header.class {
        Class::Elf32 => (0x1c, 0x2c),
        Class::Elf64 => (0x20, 0x38),
    };
    let count = u16::try_from(layout.segments.len())
        .ok()
        .filter(|count| *count < u16::MAX)
        .ok_or(EditError::Unsupported("it has too many program headers"))?;
    let record = || Record::new(elf.reader.encoding);
    if let Some(placed) = layout.table {
        buffer.put(offset_at, &record().word(placed.offset).bytes)?;
    }
    buffer.put(count_at, &record().u16(count).bytes)
}

/// The dynamic section with final addresses, filled up with `DT_NULL`.
fn dynamic_section(elf: &Elf<'_>, dynamic: &Dynamic, plan: &Plan<'_>, layout: &Layout) -> Vec<u8> {
    let size = DynamicEntry::size(elf.reader.encoding);
    let address = layout
        .dynamic
        .map_or(dynamic.address, |placed| placed.address);
    let slots = layout
        .dynamic
        .map_or(dynamic.slots, |placed| placed.size / size);
    let mut bytes = Vec::new();
    for (index, planned) in plan.entries.iter().enumerate() {
        let mut entry = planned.entry;
        match entry.tag {
            DT_STRTAB if layout.strings.is_some() => {
                entry.value = layout.strings.map_or(entry.value, |placed| placed.address);
            }
            DT_STRSZ if layout.strings.is_some() => entry.value = plan.pool.size(),
            DT_STRTAB | DT_HASH | DT_GNU_HASH | DT_SYMTAB | DT_VERSYM | DT_VERNEED | DT_VERDEF
            | DT_MIPS_XHASH => {
                if let Some((block, placed)) = layout.block
                    && let Some(within) = entry.value.checked_sub(block.address)
                    && within < block.size
                {
                    entry.value = placed.address + within;
                }
            }
            // Counts from the entry itself, which may have changed its place.
            DT_MIPS_RLD_MAP_REL => {
                if let Some(origin) = planned.origin {
                    let old = dynamic.address.wrapping_add(origin as u64 * size);
                    let new = address.wrapping_add(index as u64 * size);
                    entry.value = entry.value.wrapping_add(old).wrapping_sub(new);
                }
            }
            _ => {}
        }
        bytes.extend(entry.to_bytes(elf.reader.encoding));
    }
    let null = DynamicEntry {
        tag: DT_NULL,
        value: 0,
    };
    for _ in plan.entries.len() as u64..slots {
        bytes.extend(null.to_bytes(elf.reader.encoding));
    }
    bytes
}

/// The section headers that go with `layout`, in their old order.
fn sections(elf: &Elf<'_>, dynamic: &Dynamic, plan: &Plan<'_>, layout: &Layout) -> Vec<Section> {
    let mut sections = elf.sections.clone();
    let mut moved = Vec::new();
    let mut follow = |kind, address, placed: Option<Placed>| {
        if let (Some(placed), Some(index)) = (placed, elf.section_index(kind, address)) {
            moved.push(index);
            if let Some(section) = sections.get_mut(index) {
                section.offset = placed.offset;
                section.address = placed.address;
                section.size = placed.size;
            }
        }
    };
    let strings = elf.dynamic_value(DT_STRTAB).unwrap_or(0);
    follow(SHT_STRTAB, strings, layout.strings);
    follow(SHT_DYNAMIC, dynamic.address, layout.dynamic);
    if let Some(segment) = interpreter_segment(elf) {
        follow(SHT_PROGBITS, segment.address, layout.interpreter);
    }
    if !moved.is_empty() {
        for section in &mut sections {
            if is_at_edge(elf, section) {
                section.kind = SHT_NOBITS;
            }
        }
    }
    // Before the block moves, whose addresses would hide the section.
    if plan.needs.removes_some()
        && let Some(address) = elf.dynamic_value(DT_VERNEED)
        && let Some(index) = elf.section_index(SHT_GNU_VERNEED, address)
        && let Some(section) = sections.get_mut(index)
    {
        if plan.needs.removes_all() {
            // BFD takes an empty version section to be corrupt.
            section.kind = SHT_PROGBITS;
            section.info = 0;
            section.link = 0;
        } else {
            section.size = plan.needs.size();
            section.info = (plan.needs.count() & 0xffff_ffff) as u32;
        }
    }
    if let Some((block, placed)) = layout.block {
        for (index, section) in sections.iter_mut().enumerate() {
            let is_here = section.is_in_file() && block.holds(section.offset);
            if is_here && !moved.contains(&index) {
                let within = section.offset - block.offset;
                section.offset = placed.offset + within;
                section.address = placed.address + within;
            }
        }
    }
    sections
}

/// Whether `section` is empty and lies where the bytes of its segment end, and zeros that
/// are not in the file begin. `llvm-strip` takes such a one to lie in no segment and
/// puts it behind them all, which would now be behind the new one, far from its
/// address; with no bytes in the file by its type, it stays.
fn is_at_edge(elf: &Elf<'_>, section: &Section) -> bool {
    section.size == 0
        && section.is_allocated()
        && section.kind == SHT_PROGBITS
        && elf.segments.iter().any(|segment| {
            segment.kind == PT_LOAD
                && segment.offset.checked_add(segment.file_size) == Some(section.offset)
                && segment.address.checked_add(segment.file_size) == Some(section.address)
                && segment.file_size < segment.memory_size
        })
}

/// Moves the symbols of moved sections, and `_DYNAMIC`, with them.
fn symbols(
    elf: &Elf<'_>,
    dynamic: &Dynamic,
    layout: &Layout,
    sections: &[Section],
    buffer: &mut Buffer,
) -> Result<(), EditError> {
    let moved: Vec<(usize, u64, u64)> = elf
        .sections
        .iter()
        .zip(sections)
        .enumerate()
        .filter(|(_, (old, new))| old.address != new.address)
        .map(|(index, (old, new))| (index, old.address, new.address))
        .collect();
    let size = RawSymbol::size(elf.header.class);
    let mut tables = Vec::new();
    if let Some(table) = elf.symbol_table()? {
        tables.push((table.offset, table.count, table.strings));
    }
    // gABI: at most one.
    if let Some(section) = elf
        .sections
        .iter()
        .find(|section| section.kind == SHT_SYMTAB)
    {
        let names = usize::try_from(section.link)
            .ok()
            .and_then(|index| elf.sections.get(index))
            .and_then(|names| {
                elf.reader
                    .slice(names.offset, names.size, "string table")
                    .ok()
            });
        let names = Strings(names.unwrap_or_default());
        tables.push((section.offset, section.size / size, names));
    }
    if moved.is_empty() && layout.dynamic.is_none() {
        return Ok(());
    }
    for (offset, count, names) in tables {
        let table = count.saturating_mul(size);
        elf.reader.slice(offset, table, "symbol table")?;
        for index in 0..count {
            let at = offset + index * size;
            let symbol = RawSymbol::parse(elf.reader, at)?;
            let section = usize::from(symbol.section);
            let in_moved = moved
                .iter()
                .find(|(index, ..)| *index == section && section != 0);
            let is_dynamic = symbol.value == dynamic.address
                && names.get(u64::from(symbol.name), "symbol") == Ok("_DYNAMIC");
            let value = match (layout.dynamic, in_moved) {
                (Some(placed), _) if is_dynamic => placed.address,
                (_, Some((_, old, new))) if symbol.value >= *old => new + (symbol.value - old),
                _ => continue,
            };
            let value_at = match elf.header.class {
                Class::Elf32 => at + 4,
                Class::Elf64 => at + 8,
            };
            let record = Record::new(elf.reader.encoding).word(value);
            buffer.put(value_at, &record.bytes)?;
        }
    }
    Ok(())
}
