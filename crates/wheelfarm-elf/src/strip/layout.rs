//! What keeps its place in the file, and where the rest goes.

use super::StripError;
use super::select::Selection;
use crate::constants::{PT_LOAD, SHT_NOBITS};
use crate::error::ElfError;
use crate::header::Header;
use crate::object::Elf;

/// A part of the file that is kept as one: a segment, or several that touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// Old file offset of its first byte.
    pub(super) start: u64,
    /// Old file offset behind its last byte.
    pub(super) end: u64,
    /// New file offset of its first byte.
    pub(super) place: u64,
    /// What its place may change by multiples of; `None` if it has to stay.
    align: Option<u64>,
}

impl Range {
    fn new_end(&self) -> u64 {
        self.place + (self.end - self.start)
    }
}

/// Where everything is in the stripped file.
#[derive(Debug)]
pub(super) struct Layout {
    /// What keeps its content, in order.
    pub(super) ranges: Vec<Range>,
    /// New offset by old section index, for sections that stay.
    pub(super) sections: Vec<u64>,
    /// Old indices of sections that stay but lie in none of the ranges, in the order of their places.
    pub(super) loose: Vec<usize>,
    /// Where the section names go.
    pub(super) names: u64,
    /// Where the section headers go.
    pub(super) headers: u64,
    /// The new table of names, and where each begins.
    pub(super) table: (Vec<u8>, Vec<u32>),
    /// Length of the new file in bytes.
    pub(super) length: u64,
}

impl Layout {
    pub(super) fn new(elf: &Elf<'_>, selection: &Selection<'_>) -> Result<Layout, StripError> {
        trailing_data(elf)?;
        let dropped = first_dropped(elf, selection);
        let ranges = place(ranges(elf)?, dropped);
        let mut room = Room::new(&ranges, dropped);
        let mut sections: Vec<u64> = elf.sections.iter().map(|section| section.offset).collect();
        let mut loose = Vec::new();
        let mut empty = Vec::new();
        for index in &selection.kept {
            let (Some(section), Some(place)) = (elf.sections.get(*index), sections.get_mut(*index))
            else {
                continue;
            };
            let size = if section.is_in_file() {
                section.size
            } else {
                0
            };
            if let Some(moved) = moved(&ranges, section.offset, size) {
                *place = moved;
            } else if section.is_in_file() && Some(*index) != selection.names_section {
                loose.push(*index);
            } else if section.kind != SHT_NOBITS {
                empty.push(*index);
            }
        }
        // What is not mapped follows, in its old order where there is room.
        loose.sort_by_key(|index| elf.sections.get(*index).map(|section| section.offset));
        for index in &loose {
            if let (Some(section), Some(place)) =
                (elf.sections.get(*index), sections.get_mut(*index))
            {
                *place = room.take(section.size, section.align)?;
            }
        }
        loose.sort_by_key(|index| sections.get(*index).copied());
        let table = super::names::table(&selection.names)
            .ok_or(StripError::Unsupported("its section names are too long"))?;
        let names = match selection.names_section {
            Some(_) => room.take(table.0.len() as u64, 1)?,
            None => 0,
        };
        let size = Header::section_header_size(elf.header.class);
        let headers = room.take(
            selection.kept.len() as u64 * size,
            elf.reader.encoding.word_size(),
        )?;
        for index in empty {
            // Where an empty section was may be behind the end.
            if let Some(place) = sections.get_mut(index) {
                *place = (*place).min(room.end);
            }
        }
        Ok(Layout {
            ranges,
            sections,
            loose,
            names,
            headers,
            table,
            length: room.end,
        })
    }

    /// The new place of old offset `offset` of a segment with `size` bytes.
    pub(super) fn segment(&self, offset: u64, size: u64) -> u64 {
        moved(&self.ranges, offset, size).unwrap_or(offset)
    }
}

/// Where there is room for what is not mapped: at the end, and where something went away before a segment that
/// could not move up to there.
struct Room {
    gaps: Vec<(u64, u64)>,
    end: u64,
}

impl Room {
    fn new(ranges: &[Range], dropped: u64) -> Room {
        let pairs = ranges.iter().zip(ranges.iter().skip(1));
        Room {
            gaps: pairs
                .filter(|(_, after)| after.start > dropped)
                .map(|(before, after)| (before.new_end(), after.place))
                .collect(),
            end: ranges.last().map_or(0, Range::new_end),
        }
    }

    fn take(&mut self, size: u64, align: u64) -> Result<u64, StripError> {
        for (start, end) in &mut self.gaps {
            let place = align_up(*start, align)?;
            if add(place, size)? <= *end {
                *start = place + size;
                return Ok(place);
            }
        }
        let place = align_up(self.end, align)?;
        self.end = add(place, size)?;
        Ok(place)
    }
}

/// Refuses files that go on behind the object. Zeros are padding.
fn trailing_data(elf: &Elf<'_>) -> Result<(), StripError> {
    let header = &elf.header;
    let table =
        |offset: u64, count: u64, size: u64| offset.saturating_add(count.saturating_mul(size));
    let segments = elf.segments.iter();
    let sections = elf.sections.iter().filter(|section| section.is_in_file());
    let end = segments
        .map(|segment| segment.offset.saturating_add(segment.file_size))
        .chain(sections.map(|section| section.offset.saturating_add(section.size)))
        .chain([
            table(
                header.section_header_offset,
                header.section_header_count,
                Header::section_header_size(header.class),
            ),
            table(
                header.program_header_offset,
                header.program_header_count,
                Header::program_header_size(header.class),
            ),
        ])
        .max()
        .unwrap_or(0);
    let length = elf.reader.length();
    let rest = elf
        .reader
        .slice(end.min(length), length - end.min(length), "file")?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(StripError::TrailingData {
            offset: end,
            length: rest.len() as u64,
        });
    }
    Ok(())
}

/// The parts that keep their content, in order, at their old places.
fn ranges(elf: &Elf<'_>) -> Result<Vec<Range>, StripError> {
    let header = &elf.header;
    let length = elf.reader.length();
    let fixed = |start: u64, size: u64, align| -> Result<Range, StripError> {
        let end = add(start, size)?;
        if end > length {
            let truncated = ElfError::Truncated {
                what: "segment or section",
                offset: start,
                length,
            };
            return Err(truncated.into());
        }
        let place = start;
        Ok(Range {
            start,
            end,
            place,
            align,
        })
    };
    let mut parts = vec![
        fixed(0, Header::size(header.class), None)?,
        fixed(
            header.program_header_offset,
            header.program_header_count * Header::program_header_size(header.class),
            None,
        )?,
    ];
    for segment in &elf.segments {
        if segment.kind == PT_LOAD {
            // One without bytes in the file counts too: a loader maps the page it points at.
            if segment.file_size > 0 || segment.offset <= length {
                let align = segment.align.max(1);
                let align = align.is_power_of_two().then_some(align);
                parts.push(fixed(segment.offset, segment.file_size, align)?);
            }
        } else if segment.file_size > 0 {
            // It may lie in a loadable one, and then moves with it; `merge` sees to that.
            let inside = elf.segments.iter().any(|load| {
                load.kind == PT_LOAD
                    && load.offset <= segment.offset
                    && segment.offset.saturating_add(segment.file_size)
                        <= load.offset.saturating_add(load.file_size)
            });
            if !inside {
                parts.push(fixed(segment.offset, segment.file_size, None)?);
            }
        }
    }
    for section in &elf.sections {
        if section.is_allocated() && section.is_in_file() {
            let align = section.align.max(1);
            let align = align.is_power_of_two().then_some(align);
            parts.push(fixed(section.offset, section.size, align)?);
        }
    }
    Ok(merge(parts))
}

/// Parts that touch or overlap are one.
fn merge(mut parts: Vec<Range>) -> Vec<Range> {
    parts.retain(|part| part.end > part.start || part.align.is_some());
    parts.sort_by_key(|part| (part.start, part.end));
    let mut merged: Vec<Range> = Vec::new();
    for part in parts {
        match merged.last_mut() {
            Some(last) if part.start <= last.end => {
                last.end = last.end.max(part.end);
                last.align = last.align.zip(part.align).map(|(a, b)| a.max(b));
            }
            _ => merged.push(part),
        }
    }
    merged
}

/// The lowest offset of anything that goes.
fn first_dropped(elf: &Elf<'_>, selection: &Selection<'_>) -> u64 {
    let sections = elf.sections.iter().enumerate();
    sections
        .filter(|(index, section)| selection.drops(*index) && section.is_in_file())
        .map(|(_, section)| section.offset)
        .min()
        .unwrap_or(u64::MAX)
}

/// Moves parts up where something that goes lies before them.
fn place(mut ranges: Vec<Range>, dropped: u64) -> Vec<Range> {
    let mut free = 0;
    for range in &mut ranges {
        if range.start > dropped
            && let Some(align) = range.align
        {
            // The first place from `free` on that is as far from a page's start as the old one.
            let lowest = free + (range.start % align + align - free % align) % align;
            range.place = lowest.min(range.start);
        }
        free = range.new_end();
    }
    ranges
}

/// The new place of `size` bytes at `offset`, if they lie in one of `ranges`.
fn moved(ranges: &[Range], offset: u64, size: u64) -> Option<u64> {
    let end = offset.checked_add(size)?;
    let range = ranges
        .iter()
        .rev()
        .find(|range| range.start <= offset && end <= range.end)?;
    Some(range.place + (offset - range.start))
}

fn add(a: u64, b: u64) -> Result<u64, StripError> {
    a.checked_add(b)
        .ok_or(StripError::Unsupported("its offsets overflow"))
}

fn align_up(offset: u64, align: u64) -> Result<u64, StripError> {
    // What is not a page or less is not an alignment that anything in a file needs.
    let align = if align.is_power_of_two() && align <= 4096 {
        align
    } else {
        1
    };
    offset
        .checked_next_multiple_of(align)
        .ok_or(StripError::Unsupported("its offsets overflow"))
}
