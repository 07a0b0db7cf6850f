//! Room for one more program header.
//!
//! The table should stay right behind the ELF header: `llvm-strip` always writes it
//! there, and GNU `strip` shifts the contents of a segment that begins with anything
//! but a section. So what follows the table makes way: notes, the interpreter path
//! and the symbol tables, which are found through pointers that can be changed.

use std::collections::BTreeSet;

use crate::constants::{
    DT_STRTAB, DT_SYMTAB, PT_GNU_PROPERTY, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_NOTE, PT_NULL,
    PT_PHDR, SHT_DYNSYM, SHT_GNU_HASH, SHT_GNU_VERDEF, SHT_GNU_VERNEED, SHT_GNU_VERSYM, SHT_HASH,
    SHT_NOTE, SHT_STRTAB,
};
use crate::header::Header;
use crate::object::Elf;
use crate::section::Section;
use crate::segment::Segment;
use crate::symbols::RawSymbol;

/// More sections than this do not lie within the size of one program header, unless
/// they overlap.
const MAX_SECTIONS: usize = 64;
/// Sections that need more alignment stay where they are.
const MAX_ALIGN: u64 = 4096;

/// A range of the file that moves as a whole, keeping its inner layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// File offset of its first byte.
    pub(super) offset: u64,
    /// Virtual address of its first byte.
    pub(super) address: u64,
    /// Size in bytes.
    pub(super) size: u64,
    /// Alignment in bytes of its first byte.
    pub(super) align: u64,
    /// Index of its first section.
    pub(super) first_section: usize,
}

impl Block {
    /// Whether the block holds file offset `offset`.
    pub(super) fn holds(&self, offset: u64) -> bool {
        offset
            .checked_sub(self.offset)
            .is_some_and(|within| within < self.size)
    }
}

/// How to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// The table can grow where it is.
    Free,
    /// The table can grow where it is once this has moved.
    Behind(Block),
    /// The table itself has to move.
    None,
}

/// Looks for room for `count` program headers. Sections with an index in `dead`
/// move anyway and leave their place free.
pub(super) fn find(elf: &Elf<'_>, count: u64, dead: &[usize]) -> Room {
    let entry = Header::program_header_size(elf.header.class);
    let start = elf.header.program_header_offset;
    let end = start + elf.header.program_header_count * entry;
    let wanted = start + count * entry;
    if wanted <= end {
        return Room::Free;
    }
    // Without section headers nothing tells padding from data.
    if elf.sections.is_empty() || wanted > elf.reader.length() {
        return Room::None;
    }
    displaced(elf, (end, wanted), dead).unwrap_or(Room::None)
}

/// What has to leave file range `wanted`; `None` when it cannot.
fn displaced(elf: &Elf<'_>, wanted: (u64, u64), dead: &[usize]) -> Option<Room> {
    let headers = Header::section_header_size(elf.header.class) * elf.header.section_header_count;
    let table = elf.header.section_header_offset;
    if overlap(wanted, (table, table.checked_add(headers)?)) || overlap(wanted, (0, 16)) {
        return None;
    }
    let mut range: Option<(u64, u64)> = None;
    let mut moving: BTreeSet<usize> = BTreeSet::new();
    // Each round takes in what the range cuts in two; it ends when nothing does.
    loop {
        let mut grown = range;
        let touched = |part| overlap(wanted, part) || range.is_some_and(|all| overlap(all, part));
        for (index, section) in elf.sections.iter().enumerate() {
            if !section.is_in_file() || dead.contains(&index) {
                continue;
            }
            let part = (section.offset, section.offset.checked_add(section.size)?);
            if touched(part) {
                moving.insert(index);
                if moving.len() > MAX_SECTIONS || !is_movable(elf, section) {
                    return None;
                }
                grown = Some(join(grown, part));
            }
        }
        for segment in &elf.segments {
            let part = (
                segment.offset,
                segment.offset.checked_add(segment.file_size)?,
            );
            let is_dead = dead
                .iter()
                .filter_map(|index| elf.sections.get(*index))
                .any(|section| is_same(segment, section));
            if segment.file_size > 0 && !is_dead && touched(part) {
                match segment.kind {
                    PT_NOTE | PT_GNU_PROPERTY | PT_INTERP => grown = Some(join(grown, part)),
                    PT_LOAD | PT_PHDR | PT_NULL | PT_GNU_STACK => {}
                    _ => return None,
                }
            }
        }
        if grown == range {
            break;
        }
        range = grown;
    }
    let Some(range) = range else {
        return Some(Room::Free);
    };
    if defines_dynamic_symbols(elf, &moving) {
        return None;
    }
    block(elf, range, dead).map(Room::Behind)
}

/// File range `range` as a block, when one loadable segment holds all of it.
fn block(elf: &Elf<'_>, range: (u64, u64), dead: &[usize]) -> Option<Block> {
    let (start, end) = range;
    let address = elf.segments.iter().find_map(|segment| {
        let within = start.checked_sub(segment.offset)?;
        let holds = segment.kind == PT_LOAD && end - segment.offset <= segment.file_size;
        holds.then_some(segment.address.checked_add(within)?)
    })?;
    let mut moving = elf.sections.iter().enumerate().filter(|(index, section)| {
        section.is_in_file()
            && overlap(
                range,
                (section.offset, section.offset.saturating_add(section.size)),
            )
            && !dead.contains(index)
    });
    let (first_section, first) = moving.next()?;
    // A segment has to begin with a section, or strip shifts it.
    if first.offset != start {
        return None;
    }
    let align = moving
        .map(|(_, section)| section.align)
        .chain([first.align, 8])
        .max()?;
    Some(Block {
        offset: start,
        address,
        size: end - start,
        align,
        first_section,
    })
}

/// Whether every pointer to `section` is known.
fn is_movable(elf: &Elf<'_>, section: &Section) -> bool {
    if !section.is_allocated()
        || section.align > MAX_ALIGN
        || !(section.align == 0 || section.align.is_power_of_two())
    {
        return false;
    }
    match section.kind {
        SHT_NOTE | SHT_HASH | SHT_GNU_HASH | SHT_GNU_VERSYM | SHT_GNU_VERNEED | SHT_GNU_VERDEF => {
            true
        }
        SHT_DYNSYM => elf.dynamic_value(DT_SYMTAB) == Some(section.address),
        SHT_STRTAB => elf.dynamic_value(DT_STRTAB) == Some(section.address),
        _ => elf
            .segments
            .iter()
            .any(|segment| segment.kind == PT_INTERP && is_same(segment, section)),
    }
}

fn is_same(segment: &Segment, section: &Section) -> bool {
    segment.offset == section.offset && segment.file_size == section.size
}

/// Whether other objects may refer to something in `sections`.
fn defines_dynamic_symbols(elf: &Elf<'_>, sections: &BTreeSet<usize>) -> bool {
    let Ok(Some(table)) = elf.symbol_table() else {
        return true;
    };
    let size = RawSymbol::size(elf.header.class);
    (1..table.count).any(|symbol| {
        let at = table.offset.saturating_add(symbol.saturating_mul(size));
        // STT_SECTION symbols only matter to tools, and follow their section.
        RawSymbol::parse(elf.reader, at).map_or(true, |symbol| {
            sections.contains(&usize::from(symbol.section)) && symbol.info & 0xf != 3
        })
    })
}

fn overlap(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 < other.1 && other.0 < one.1
}

fn join(range: Option<(u64, u64)>, part: (u64, u64)) -> (u64, u64) {
    range.map_or(part, |all| (all.0.min(part.0), all.1.max(part.1)))
}
