//! Where the parts go that do not fit where they were: into one loadable segment at
//! the end of the file.
//!
//! Its virtual address is congruent to its file offset modulo the largest `p_align`
//! of the object, so nothing has to be padded, whatever page size that stands for.

use super::EditError;
use super::plan::{Plan, interpreter_segment};
use super::room::{self, Block, Room};
use crate::constants::{
    DT_STRTAB, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_PROPERTY, PT_GNU_RELRO, PT_GNU_STACK,
    PT_INTERP, PT_LOAD, PT_NOTE, PT_NULL, PT_PHDR, SHT_DYNAMIC, SHT_PROGBITS, SHT_STRTAB,
};
use crate::dynamic::{Dynamic, DynamicEntry};
use crate::header::{Class, Header};
use crate::object::Elf;
use crate::segment::Segment;

/// No supported page is smaller.
const MIN_PAGE: u64 = 0x1000;
/// Larger alignments are no page sizes.
const MAX_PAGE: u64 = 0x1_0000_0000;
/// Unused entries left in a dynamic section that moves, for the next edit.
const SPARE_ENTRIES: u64 = 4;
/// How many zero bytes may be spent to keep the program headers of a program where
/// old kernels expect them.
const MAX_PADDING: u64 = 64 << 20;

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
    ) -> Result<Layout, EditError> {
        let mut layout = Layout {
            segments: elf.segments.clone(),
            ..Layout::default()
        };
        let mut wanted = wanted(elf, dynamic, plan);
        if !wanted.is_empty() {
            let extended = extensible(elf);
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
                None => layout.append(elf, &wanted)?,
            };
            check_limits(elf, &segment)?;
            if let Some(table) = layout.segments.iter_mut().find(|s| s.kind == PT_PHDR) {
                let size = rows * Header::program_header_size(elf.header.class);
                table.file_size = size;
                table.memory_size = size;
            }
        }
        layout.follow();
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
    fn append(&mut self, elf: &Elf<'_>, wanted: &[Wanted]) -> Result<Segment, EditError> {
        let overflow = EditError::Unsupported("its addresses overflow");
        let align = page_size(elf)?;
        let end = end_of_memory(elf)?
            .checked_next_multiple_of(align)
            .ok_or_else(|| overflow.clone())?;
        let first = wanted
            .first()
            .ok_or(EditError::Unsupported("there is nothing to place"))?;
        let mut offset = next(elf.reader.length(), first.align.max(16), first.phase)
            .ok_or_else(|| overflow.clone())?;
        let mut address = end.checked_add(offset % align).ok_or(overflow)?;
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
        self.segments
            .insert(behind.map_or(0, |index| index + 1), segment);
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
}

/// The first number from `start` on that is `phase` modulo `align`.
fn next(start: u64, align: u64, phase: u64) -> Option<u64> {
    let align = align.max(1);
    let missing = (align + phase % align - start % align) % align;
    start.checked_add(missing)
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

/// Index of the segment that ends the file and memory, which an earlier edit made:
/// it can grow instead of a further one being added.
fn extensible(elf: &Elf<'_>) -> Option<usize> {
    let end = end_of_memory(elf).ok()?;
    let index = elf
        .segments
        .iter()
        .rposition(|segment| segment.kind == PT_LOAD)?;
    let segment = elf.segments.get(index)?;
    let is_last = segment.address.checked_add(segment.memory_size) == Some(end)
        && segment.offset.checked_add(segment.file_size) == Some(elf.reader.length());
    let is_plain = segment.file_size == segment.memory_size
        && segment.flags & PF_X == 0
        && segment.align >= MIN_PAGE
        && segment.offset % MIN_PAGE == segment.address % MIN_PAGE;
    // What is made read-only after relocation must not gain new parts.
    let is_protected = elf.segments.iter().any(|other| {
        other.kind == PT_GNU_RELRO
            && other.address < end
            && other.address.saturating_add(other.memory_size) > segment.address
    });
    (is_last && is_plain && !is_protected).then_some(index)
}

/// The largest `p_align`, within reason.
fn page_size(elf: &Elf<'_>) -> Result<u64, EditError> {
    let aligns = elf
        .segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .map(|segment| segment.align);
    let align = aligns.max().unwrap_or(MIN_PAGE).max(MIN_PAGE);
    if !align.is_power_of_two() || align > MAX_PAGE {
        return Err(EditError::Unsupported(
            "its segment alignment is no page size",
        ));
    }
    Ok(align)
}

/// The first virtual address behind all segments.
fn end_of_memory(elf: &Elf<'_>) -> Result<u64, EditError> {
    elf.segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .map(|segment| segment.address.checked_add(segment.memory_size))
        .try_fold(0, |end, this| Some(this?.max(end)))
        .ok_or(EditError::Unsupported("its addresses overflow"))
}

/// Where a program's table has to go: kernels before 5.18 take its address to be
/// `e_phoff` plus the distance of the first segment. `None` for libraries, whose
/// loader reads it from the file.
fn table_offset_for_program(
    elf: &Elf<'_>,
    end: u64,
    offset: u64,
) -> Result<Option<(u64, u64)>, EditError> {
    if elf.header.kind != ET_EXEC && elf.interpreter().is_none() {
        return Ok(None);
    }
    let place = || {
        let first = elf
            .segments
            .iter()
            .find(|segment| segment.kind == PT_LOAD)?;
        let distance = first.address.checked_sub(first.offset)?;
        let wanted = offset.max(end.checked_sub(distance)?);
        let wanted = wanted.checked_next_multiple_of(16)?;
        let address = wanted.checked_add(distance)?;
        (wanted - offset <= MAX_PADDING).then_some((wanted, address))
    };
    place().map(Some).ok_or(EditError::Unsupported(
        "there is no place for its program headers",
    ))
}

/// New offsets and addresses have to fit the class.
fn check_limits(elf: &Elf<'_>, segment: &Segment) -> Result<(), EditError> {
    let fits = |start: u64| {
        let end = start.checked_add(segment.file_size);
        match elf.header.class {
            Class::Elf32 => end.is_some_and(|end| u32::try_from(end).is_ok()),
            Class::Elf64 => end.is_some_and(|end| i64::try_from(end).is_ok()),
        }
    };
    if fits(segment.offset) && fits(segment.address) {
        return Ok(());
    }
    Err(EditError::Unsupported("its address space is full"))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn next_meets_alignment_and_phase() {
        assert_eq!(next(17, 8, 0), Some(24));
        assert_eq!(next(24, 8, 0), Some(24));
        assert_eq!(next(17, 8, 4), Some(20));
        assert_eq!(next(22, 8, 4), Some(28));
        assert_eq!(next(u64::MAX, 8, 0), None);
    }
}
