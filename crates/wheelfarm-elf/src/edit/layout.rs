//! Where the parts go that do not fit where they were: into one loadable segment at
//! the end of the file.
//!
//! Its virtual address is congruent to its file offset modulo the largest `p_align`
//! of the object, so nothing has to be padded, whatever page size that stands for.

use super::EditError;
use super::plan::{Plan, interpreter_segment};
use super::room::{self, Block, Room};
use super::space::{
    behind_relocations, check_limits, end_of_memory, extensible, next, page_size,
    table_offset_for_program,
};
use crate::constants::{
    DT_STRTAB, PF_R, PF_W, PT_DYNAMIC, PT_GNU_PROPERTY, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_NOTE,
    PT_NULL, PT_PHDR, SHT_DYNAMIC, SHT_PROGBITS, SHT_STRTAB,
};
use crate::dynamic::{Dynamic, DynamicEntry};
use crate::header::Header;
use crate::object::Elf;
use crate::segment::Segment;

/// Unused entries left in a dynamic section that moves, for the next edit.
const SPARE_ENTRIES: u64 = 4;
/// A part with its new place; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) size: u64,
}

/// The new places and the program headers that go with them.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) strings: Option<Placed>,
    pub(super) dynamic: Option<Placed>,
    pub(super) interpreter: Option<Placed>,
    pub(super) block: Option<(Block, Placed)>,
    /// The program header table, when it moves.
    pub(super) table: Option<Placed>,
    pub(super) segments: Vec<Segment>,
}

/// What may have to be placed.
#[derive(Debug, Clone, Copy)]
enum Part {
    Strings,
    Dynamic,
    Interpreter,
    Block(Block),
    Table,
}

/// A part with its size and alignment in bytes. Its address modulo the alignment is
/// to be `phase`.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    part: Part,
    /// Sections of a segment should follow each other as in the section header
    /// table, which is how `strip` walks them.
    order: usize,
    size: u64,
    align: u64,
    phase: u64,
}

impl Layout {
    pub(super) fn new(
        elf: &Elf<'_>,
        dynamic: &Dynamic,
        plan: &Plan<'_>,
        least_page_size: Option<u64>,
    ) -> Result<Layout, EditError> {
        let mut layout = Layout {
            segments: elf.segments.clone(),
            ..Layout::default()
        };
        let mut wanted = wanted(elf, dynamic, plan);
        let extended = extensible(elf);
        let appends = !wanted.is_empty() && extended.is_none();
        if !wanted.is_empty() {
            let mut rows = elf.segments.len() as u64;
            if extended.is_none() {
                layout.segments.retain(|segment| segment.kind != PT_NULL);
                rows = layout.segments.len() as u64 + 1;
                let dead: Vec<usize> = wanted.iter().map(|wanted| wanted.order).collect();
                match room::find(elf, rows, &dead) {
                    Room::Free => {}
                    Room::Behind(block) => wanted.push(Wanted {
                        part: Part::Block(block),
                        order: block.first_section,
                        size: block.size,
                        align: block.align,
                        phase: block.address % block.align,
                    }),
                    Room::None => wanted.insert(0, table(elf, rows)),
                }
            }
            wanted.sort_by_key(|wanted| (!matches!(wanted.part, Part::Table), wanted.order));
            let segment = match extended {
                Some(index) => layout.extend(elf, index, &wanted)?,
                None => layout.append(elf, &wanted, least_page_size)?,
            };
            check_limits(elf, &segment)?;
            if let Some(table) = layout.segments.iter_mut().find(|s| s.kind == PT_PHDR) {
                let size = rows * Header::program_header_size(elf.header.class);
                table.file_size = size;
                table.memory_size = size;
            }
        }
        layout.follow();
        if appends {
            layout.part_from_children();
        }
        if let Some(flags) = plan.stack_flags {
            for segment in &mut layout.segments {
                if segment.kind == PT_GNU_STACK {
                    segment.flags = flags;
                }
            }
        }
        Ok(layout)
    }

    /// Places `wanted` in a new segment.
    fn append(
        &mut self,
        elf: &Elf<'_>,
        wanted: &[Wanted],
        least_page_size: Option<u64>,
    ) -> Result<Segment, EditError> {
        let overflow = EditError::Unsupported("its addresses overflow");
        let align = page_size(elf, least_page_size)?;
        let end = end_of_memory(elf)?
            .checked_next_multiple_of(align)
            .ok_or_else(|| overflow.clone())?;
        let first = wanted
            .first()
            .ok_or(EditError::Unsupported("there is nothing to place"))?;
        let mut offset = next(elf.reader.length(), first.align.max(16), first.phase)
            .ok_or_else(|| overflow.clone())?;
        let start = behind_relocations(elf, end, align);
        let mut address = start.checked_add(offset % align).ok_or(overflow)?;
        if matches!(first.part, Part::Table)
            && let Some(same) = table_offset_for_program(elf, end, offset)?
        {
            (offset, address) = same;
        }
        let mut segment = Segment {
            kind: PT_LOAD,
            flags: PF_R,
            offset,
            address,
            physical_address: address,
            file_size: 0,
            memory_size: 0,
            align,
        };
        self.fill(&mut segment, wanted)?;
        let behind = self
            .segments
            .iter()
            .rposition(|segment| segment.kind == PT_LOAD);
        let index = behind.map_or(0, |index| index + 1);
        self.segments.insert(index, segment);
        Ok(segment)
    }

    /// Places `wanted` at the end of the segment with `index`.
    fn extend(
        &mut self,
        elf: &Elf<'_>,
        index: usize,
        wanted: &[Wanted],
    ) -> Result<Segment, EditError> {
        let mut segment = *elf
            .segments
            .get(index)
            .ok_or(EditError::Unsupported("it has no last segment"))?;
        self.fill(&mut segment, wanted)?;
        if let Some(slot) = self.segments.get_mut(index) {
            *slot = segment;
        }
        Ok(segment)
    }

    /// Places `wanted` one after the other behind what `segment` has.
    fn fill(&mut self, segment: &mut Segment, wanted: &[Wanted]) -> Result<(), EditError> {
        for wanted in wanted {
            let place = || {
                let end = segment.address.checked_add(segment.file_size)?;
                let address = next(end, wanted.align, wanted.phase)?;
                let within = address - segment.address;
                Some(Placed {
                    offset: segment.offset.checked_add(within)?,
                    address,
                    size: wanted.size,
                })
            };
            let placed = place().ok_or(EditError::Unsupported("its addresses overflow"))?;
            segment.file_size = (placed.address - segment.address).saturating_add(wanted.size);
            segment.memory_size = segment.file_size;
            match wanted.part {
                Part::Strings => self.strings = Some(placed),
                Part::Interpreter => self.interpreter = Some(placed),
                Part::Block(block) => self.block = Some((block, placed)),
                Part::Table => self.table = Some(placed),
                Part::Dynamic => {
                    self.dynamic = Some(placed);
                    // Loaders write into the dynamic section (DT_DEBUG, relocation).
                    segment.flags |= PF_W;
                }
            }
        }
        Ok(())
    }

    /// Points the program headers of moved parts at their new places.
    fn follow(&mut self) {
        for segment in &mut self.segments {
            let moved = match segment.kind {
                PT_DYNAMIC => self.dynamic,
                PT_INTERP if self.interpreter.is_some() => self.interpreter,
                PT_PHDR => self.table,
                PT_NOTE | PT_GNU_PROPERTY | PT_INTERP => self
                    .block
                    .filter(|(block, _)| segment.file_size > 0 && block.holds(segment.offset))
                    .map(|(block, placed)| {
                        let within = segment.offset - block.offset;
                        Placed {
                            offset: placed.offset + within,
                            address: placed.address + within,
                            size: segment.file_size,
                        }
                    }),
                _ => None,
            };
            if let Some(placed) = moved {
                segment.offset = placed.offset;
                segment.address = placed.address;
                segment.physical_address = placed.address;
                segment.file_size = placed.size;
                segment.memory_size = placed.size;
            }
        }
    }

    /// Keeps program headers of parts that begin a loadable segment from passing for
    /// its owner: of those with one offset, `llvm-strip` takes the first, and aligns
    /// all of them as that one asks.
    fn part_from_children(&mut self) {
        let last = |segment: &Segment| segment.kind == PT_LOAD;
        let Some(index) = self.segments.iter().rposition(last) else {
            return;
        };
        let Some((before, from)) = self.segments.split_at_mut_checked(index) else {
            return;
        };
        let Some(load) = from.first().copied() else {
            return;
        };
        let mut first = before
            .iter_mut()
            .filter(|segment| segment.offset == load.offset && segment.file_size > 0);
        match first.next() {
            // It has to stand before all loadable ones, and nobody reads its alignment.
            Some(segment) if segment.kind == PT_INTERP => segment.align = load.align,
            Some(segment) if is_free(segment) => {
                let all = std::mem::take(&mut self.segments);
                let (moving, mut kept): (Vec<_>, Vec<_>) = all
                    .into_iter()
                    .enumerate()
                    .partition(|(at, segment)| *at < index && is_free(segment));
                let behind = (index + 1).saturating_sub(moving.len()).min(kept.len());
                kept.splice(behind..behind, moving);
                self.segments = kept.into_iter().map(|(_, segment)| segment).collect();
            }
            _ => {}
        }
    }
}

/// Whether the program header may stand anywhere in the table.
fn is_free(segment: &Segment) -> bool {
    matches!(segment.kind, PT_NOTE | PT_GNU_PROPERTY | PT_DYNAMIC)
}

/// The parts that do not fit where they are.
fn wanted(elf: &Elf<'_>, dynamic: &Dynamic, plan: &Plan<'_>) -> Vec<Wanted> {
    let word = elf.reader.encoding.word_size();
    let section = |kind, address| {
        elf.section_index(kind, address)
            .unwrap_or(elf.sections.len())
    };
    let mut wanted = Vec::new();
    let mut want = |part, order, size, align| {
        wanted.push(Wanted {
            part,
            order,
            size,
            align,
            phase: 0,
        });
    };
    if let Some(path) = &plan.interpreter
        && let Some(segment) = interpreter_segment(elf)
    {
        let order = section(SHT_PROGBITS, segment.address);
        want(Part::Interpreter, order, path.len() as u64, 1);
    }
    if plan.pool.has_grown() {
        let address = elf.dynamic_value(DT_STRTAB).unwrap_or(0);
        want(
            Part::Strings,
            section(SHT_STRTAB, address),
            plan.pool.size(),
            1,
        );
    }
    if plan.dynamic_has_grown(dynamic) {
        let entries = plan.entries.len() as u64 + 1 + SPARE_ENTRIES;
        let size = entries * DynamicEntry::size(elf.reader.encoding);
        want(
            Part::Dynamic,
            section(SHT_DYNAMIC, dynamic.address),
            size,
            word,
        );
    }
    wanted
}

fn table(elf: &Elf<'_>, rows: u64) -> Wanted {
    Wanted {
        part: Part::Table,
        order: 0,
        size: rows * Header::program_header_size(elf.header.class),
        align: 8,
        phase: 0,
    }
}
