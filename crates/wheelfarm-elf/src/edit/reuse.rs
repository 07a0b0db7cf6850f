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
    segment.kind == PT_LOAD
        && segment.file_size == segment.memory_size
        && is_dead(elf, segment, (segment.offset, end), dead)
}

/// Whether `range` of `segment` has a section, and nothing else than those in `dead`, what aligns them, and section
/// headers, which no loader reads.
fn is_dead(elf: &Elf<'_>, segment: &Segment, range: Range, dead: &[usize]) -> bool {
    let [header, programs, section_headers] = tables(elf);
    if overlap(range, header) || overlap(range, programs) {
        return false;
    }
    let inside = |section: &&Section| section.is_in_file() && overlap(range, span(section));
    let sections: Vec<&Section> = elf.sections.iter().filter(inside).collect();
    let is_listed = |section: &Section| {
        let mut dead = dead.iter().filter_map(|index| elf.sections.get(*index));
        dead.any(|other| other == section)
    };
    if sections.is_empty()
        || sections.len() > dead.len()
        || !sections.iter().all(|section| is_listed(section))
    {
        return false;
    }
    let mut spans: Vec<Range> = sections.into_iter().map(span).collect();
    // Another program header that names a part of it, but for those of the sections.
    let is_named = elf.segments.iter().any(|part| {
        let named = (part.offset, part.offset.saturating_add(part.file_size));
        part != segment && part.file_size > 0 && overlap(range, named) && !spans.contains(&named)
    });
    spans.extend(overlap(range, section_headers).then_some(section_headers));
    spans.sort_unstable();
    let mut at = range.0;
    let is_filled = spans.iter().all(|span| {
        let fits = span.0 <= at.saturating_add(MAX_PADDING);
        at = at.max(span.1);
        fits
    });
    !is_named && is_filled && range.1 <= at.saturating_add(MAX_PADDING)
}

/// Loadable `segment` from its first section on that is not in `dead`, when those before it are. GNU `strip` moves
/// the sections of a segment that begins with anything else.
pub(super) fn without_dead_front(
    elf: &Elf<'_>,
    segment: &Segment,
    dead: &[usize],
) -> Option<Segment> {
    let end = segment.offset.checked_add(segment.file_size)?;
    let stays = |(index, section): &(usize, &Section)| {
        section.is_in_file()
            && section.offset >= segment.offset
            && section.offset < end
            && !dead.contains(index)
    };
    let sections = elf.sections.iter().enumerate().filter(stays);
    let start = sections.map(|(_, section)| section.offset).min()?;
    let front = (segment.offset, start);
    if segment.kind != PT_LOAD || start == segment.offset || !is_dead(elf, segment, front, dead) {
        return None;
    }
    let less = start - segment.offset;
    Some(Segment {
        offset: start,
        address: segment.address.checked_add(less)?,
        physical_address: segment.physical_address.checked_add(less)?,
        file_size: segment.file_size - less,
        memory_size: segment.memory_size.checked_sub(less)?,
        ..*segment
    })
}

/// The new end of `segment`, which ends the file, after those of `parts` left that lie at its end.
fn end_without(elf: &Elf<'_>, segment: &Segment, parts: &[Placed]) -> u64 {
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

/// A segment that can grow, with what is to move away from its end cut off.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) segment: Segment,
    /// File offset from which on it can be written.
    pub(super) end: u64,
}

impl Tail {
    /// The segment that ends the file, unless all that it has, `moving` and the sections with indices in `dead`, goes
    /// and leaves a hole.
    pub(super) fn find(elf: &Elf<'_>, moving: &[Placed], dead: &[usize]) -> Option<Tail> {
        let index = extensible(elf)?;
        let segment = *elf.segments.get(index)?;
        let end = end_without(elf, &segment, moving);
        let keeps_hole = end > segment.offset
            && (is_spent(elf, index, dead) || without_dead_front(elf, &segment, dead).is_some());
        (!keeps_hole).then_some(Tail { segment, end })
    }
}

/// Index of the segment that ends the file and memory, which an earlier edit made:
/// it can grow instead of a further one being added. A payload may follow it.
fn extensible(elf: &Elf<'_>) -> Option<usize> {
    let end = end_of_memory(&elf.segments).ok()?;
    let index = elf
        .segments
        .iter()
        .rposition(|segment| segment.kind == PT_LOAD)?;
    let segment = elf.segments.get(index)?;
    let is_last = segment.address.checked_add(segment.memory_size) == Some(end)
        && segment.offset.checked_add(segment.file_size) == Some(named_end(elf));
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
