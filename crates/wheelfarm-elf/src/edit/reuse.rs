//! What an earlier edit left is used again: the end of its segment, and its program header once nothing of the
//! segment is needed. So an object that is edited over and over grows by new names only.

use super::layout::Placed;
use super::space::{MIN_PAGE, end_of_memory};
use crate::constants::{PF_X, PT_GNU_RELRO, PT_LOAD, PT_NULL};
use crate::header::Header;
use crate::object::Elf;
use crate::section::Section;
use crate::segment::Segment;

/// Parts of a segment are at most so far from each other, for their alignment.
const MAX_PADDING: u64 = 64;

/// A range of the file: first byte and the one behind the last.
type Range = (u64, u64);

/// Whether `segment` is only a program header: unused, or loadable without bytes.
fn is_void(segment: &Segment) -> bool {
    segment.kind == PT_NULL || segment.kind == PT_LOAD && segment.memory_size == 0
}

/// Whether nothing of the segment with `index` will be needed when the sections with indices in `dead` have moved:
/// then its program header may go. A loadable segment that keeps no section is damaged by GNU `strip`.
pub(super) fn is_spent(elf: &Elf<'_>, index: usize, dead: &[usize]) -> bool {
    let Some(segment) = elf.segments.get(index) else {
        return false;
    };
    if is_void(segment) {
        return true;
    }
    let Some(end) = segment.offset.checked_add(segment.file_size) else {
        return false;
    };
    let range = (segment.offset, end);
    let is_own = segment.kind == PT_LOAD && segment.file_size == segment.memory_size;
    if !is_own || tables(elf).into_iter().any(|table| overlap(range, table)) {
        return false;
    }
    let inside = |section: &&Section| section.is_in_file() && overlap(range, span(section));
    let is_dead = |section: &Section| {
        let dead = dead.iter().filter_map(|index| elf.sections.get(*index));
        dead.into_iter().any(|other| other == section)
    };
    let mut sections: Vec<&Section> = elf.sections.iter().filter(inside).collect();
    if sections.is_empty()
        || sections.len() > dead.len()
        || !sections.iter().all(|section| is_dead(section))
    {
        return false;
    }
    // Another program header that names a part of it, but for those of the sections.
    let is_named = elf.segments.iter().enumerate().any(|(other, part)| {
        let named = (part.offset, part.offset.saturating_add(part.file_size));
        let is_section = sections.iter().any(|section| span(section) == named);
        other != index && part.file_size > 0 && overlap(range, named) && !is_section
    });
    // Nothing but sections and what aligns them.
    sections.sort_by_key(|section| section.offset);
    let mut at = range.0;
    let is_filled = sections.iter().all(|section| {
        let fits = section.offset <= at.saturating_add(MAX_PADDING);
        at = at.max(span(section).1);
        fits
    });
    !is_named && is_filled && range.1 <= at.saturating_add(MAX_PADDING)
}

/// The new end of `segment`, which ends the file, after those of `parts` left that lie at its end.
pub(super) fn end_without(elf: &Elf<'_>, segment: &Segment, parts: &[Placed]) -> u64 {
    let mut end = segment.offset.saturating_add(segment.file_size);
    let keeps = |range: Range| {
        let is_part = |range: Range| {
            parts.iter().any(|part| {
                range.0 >= part.offset && range.1 <= part.offset.saturating_add(part.size)
            })
        };
        let sections = elf
            .sections
            .iter()
            .filter(|section| section.is_in_file())
            .map(span);
        let segments = elf
            .segments
            .iter()
            .filter(|other| *other != segment && other.file_size > 0);
        let segments =
            segments.map(|other| (other.offset, other.offset.saturating_add(other.file_size)));
        let mut named = sections.chain(segments).filter(|named| !is_part(*named));
        named.any(|named| overlap(range, named))
            || tables(elf).into_iter().any(|table| overlap(range, table))
    };
    while let Some(part) = parts.iter().find(|part| {
        let behind = part.offset.saturating_add(part.size);
        part.offset > segment.offset
            && part.offset < end
            && behind <= end
            && end - behind <= MAX_PADDING
    }) {
        if keeps((part.offset, end)) {
            break;
        }
        end = part.offset;
    }
    end
}

/// Where the last thing that a header names ends.
fn named_end(elf: &Elf<'_>) -> u64 {
    let sections = elf.sections.iter().filter(|section| section.is_in_file());
    let sections = sections.map(span);
    let segments = elf
        .segments
        .iter()
        .map(|part| (part.offset, part.offset.saturating_add(part.file_size)));
    let all = sections.chain(segments).chain(tables(elf));
    all.map(|range| range.1)
        .max()
        .unwrap_or(0)
        .min(elf.reader.length())
}

/// What lies behind all that the headers name, unless it is only zeros: data of the
/// program itself, as of a self-extracting one. Offset and bytes.
pub(super) fn payload<'a>(elf: &Elf<'a>) -> Option<(u64, &'a [u8])> {
    let start = named_end(elf);
    let length = elf.reader.length() - start;
    let bytes = elf.reader.slice(start, length, "payload").ok()?;
    bytes
        .iter()
        .any(|byte| *byte != 0)
        .then_some((start, bytes))
}

/// Index of the segment that ends the file and memory, which an earlier edit made:
/// it can grow instead of a further one being added. A payload may follow it.
pub(super) fn extensible(elf: &Elf<'_>) -> Option<usize> {
    let end = end_of_memory(&elf.segments).ok()?;
    let index = elf
        .segments
        .iter()
        .rposition(|segment| segment.kind == PT_LOAD)?;
    let segment = elf.segments.get(index)?;
    let file_end = payload(elf).map_or(elf.reader.length(), |(start, _)| start);
    let is_last = segment.address.checked_add(segment.memory_size) == Some(end)
        && segment.offset.checked_add(segment.file_size) == Some(file_end);
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

/// The ELF header and both header tables.
fn tables(elf: &Elf<'_>) -> [Range; 3] {
    let class = elf.header.class;
    let table = |start: u64, count: u64, size: u64| {
        (start, start.saturating_add(count.saturating_mul(size)))
    };
    let header = &elf.header;
    [
        (0, Header::size(class)),
        table(
            header.program_header_offset,
            header.program_header_count,
            Header::program_header_size(class),
        ),
        table(
            header.section_header_offset,
            header.section_header_count,
            Header::section_header_size(class),
        ),
    ]
}

fn span(section: &Section) -> Range {
    (section.offset, section.offset.saturating_add(section.size))
}

fn overlap(one: Range, other: Range) -> bool {
    one.0 < other.1 && other.0 < one.1
}
