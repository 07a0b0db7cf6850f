//! The program headers that go with the new places.

use super::layout::{Layout, Placed};
use crate::constants::{
    PT_DYNAMIC, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_NOTE, PT_PHDR, SHT_NOTE,
};
use crate::header::Header;
use crate::object::Elf;
use crate::segment::Segment;

impl Layout {
    /// Points note headers that lie among the program headers at their section again:
    /// editors that moved the section and forgot the header leave such ones.
    pub(super) fn find_stray_notes(&mut self, elf: &Elf<'_>) {
        for segment in &mut self.segments {
            if segment.kind != PT_NOTE || !is_stray(elf, segment) {
                continue;
            }
            let mut sections = elf.sections.iter().filter(|section| {
                section.kind == SHT_NOTE
                    && section.is_allocated()
                    && section.size == segment.file_size
            });
            if let (Some(section), None) = (sections.next(), sections.next()) {
                segment.offset = section.offset;
                segment.address = section.address;
                segment.physical_address = section.address;
            }
        }
    }

    /// Points the program headers of moved parts at their new places.
    pub(super) fn follow(&mut self) {
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
    pub(super) fn part_from_children(&mut self) {
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

/// Whether `segment`, of notes, lies in the table of program headers, where no notes are.
pub(super) fn is_stray(elf: &Elf<'_>, segment: &Segment) -> bool {
    let start = elf.header.program_header_offset;
    let size = Header::program_header_size(elf.header.class);
    let end = start.saturating_add(elf.header.program_header_count.saturating_mul(size));
    segment.offset < end && segment.offset.saturating_add(segment.file_size) > start
}

/// Whether the program header may stand anywhere in the table.
fn is_free(segment: &Segment) -> bool {
    matches!(segment.kind, PT_NOTE | PT_GNU_PROPERTY | PT_DYNAMIC)
}
