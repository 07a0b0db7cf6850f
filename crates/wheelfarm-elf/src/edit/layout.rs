//! Where the parts go that do not fit where they were: into one loadable segment at
//! the end of the file.
//!
//! Its virtual address is congruent to its file offset modulo the largest `p_align`
//! of the object, so nothing has to be padded, whatever page size that stands for.

use super::EditError;
use super::plan::{Plan, interpreter_segment};
use super::reuse;
use super::room::{self, Block, Room};
use super::space::{
    behind_relocations, check_limits, end_of_memory, next, page_size, table_offset_for_program,
};
use crate::constants::{
    DT_STRTAB, PF_R, PF_W, PT_GNU_STACK, PT_LOAD, PT_PHDR, SHT_DYNAMIC, SHT_PROGBITS, SHT_STRTAB,
};
use crate::dynamic::{Dynamic, DynamicEntry};
use crate::header::Header;
use crate::object::Elf;
use crate::segment::{Segment, file_range};

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
    /// Program headers that are left out because not all of their segments is needed.
    pub(super) dropped: Vec<Segment>,
    /// What is left of some of those.
    pub(super) trimmed: Vec<Segment>,
    /// Where the file ends before anything is added, if that is not where it ended.
    pub(super) file_end: Option<u64>,
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
        let mut appends = false;
        if !wanted.is_empty() {
            let dead: Vec<usize> = wanted.iter().map(|wanted| wanted.order).collect();
            let moving = wanted.iter().map(|wanted| wanted.part);
            let moving: Vec<Placed> = moving
                .filter_map(|part| old_place(elf, dynamic, part))
                .collect();
            let extended = reuse::Tail::find(elf, &moving, &dead);
            appends = extended.is_none();
            layout.drop_spent(elf, &dead, extended.as_ref());
            let rows = layout.segments.len() as u64 + u64::from(appends);
            if appends {
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
                Some(tail) => layout.extend(&tail, &wanted)?,
                None => layout.append(elf, &wanted, least_page_size)?,
            };
            check_limits(elf, &segment)?;
            if let Some(table) = layout.segments.iter_mut().find(|s| s.kind == PT_PHDR) {
                let size = rows * Header::program_header_size(elf.header.class);
                table.file_size = size;
                table.memory_size = size;
            }
        }
        if appends {
            layout.find_stray_notes(elf);
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

    /// Leaves program headers out that will not be needed, and parts of segments.
    fn drop_spent(&mut self, elf: &Elf<'_>, dead: &[usize], extended: Option<&reuse::Tail>) {
        self.segments.clear();
        for (index, segment) in elf.segments.iter().enumerate() {
            if extended.is_some_and(|tail| tail.segment == *segment) {
                self.segments.push(*segment);
            } else if reuse::is_spent(elf, index, dead) {
                self.dropped.push(*segment);
            } else {
                let less = reuse::without_dead_front(elf, segment, dead);
                self.dropped.extend(less.map(|_| *segment));
                self.trimmed.extend(less);
                self.segments.push(less.unwrap_or(*segment));
            }
        }
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
        let end = end_of_memory(&self.segments)?
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

    /// Places `wanted` at the end of the segment of `tail`.
    fn extend(&mut self, tail: &reuse::Tail, wanted: &[Wanted]) -> Result<Segment, EditError> {
        let mut segment = tail.segment;
        segment.file_size = tail.end.saturating_sub(segment.offset);
        self.file_end = Some(tail.end);
        self.fill(&mut segment, wanted)?;
        for slot in &mut self.segments {
            if *slot == tail.segment {
                *slot = segment;
            }
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
}

/// Where `part` is in the original.
fn old_place(elf: &Elf<'_>, dynamic: &Dynamic, part: Part) -> Option<Placed> {
    let place = |offset, address, size| Placed {
        offset,
        address,
        size,
    };
    match part {
        Part::Strings => {
            let address = elf.dynamic_value(DT_STRTAB)?;
            let (offset, _) = file_range(&elf.segments, address)?;
            Some(place(offset, address, elf.strings.0.len() as u64))
        }
        Part::Dynamic => {
            let size = dynamic.slots * DynamicEntry::size(elf.reader.encoding);
            Some(place(dynamic.offset, dynamic.address, size))
        }
        Part::Interpreter => {
            let segment = interpreter_segment(elf)?;
            Some(place(segment.offset, segment.address, segment.file_size))
        }
        Part::Block(_) | Part::Table => None,
    }
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
