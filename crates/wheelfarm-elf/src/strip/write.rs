//! The stripped file.

use super::layout::Layout;
use super::select::Selection;
use super::{StripError, symbols};
use crate::bytes::Record;
use crate::constants::{SHF_INFO_LINK, SHN_LORESERVE, SHN_XINDEX, SHT_REL, SHT_RELA};
use crate::header::{Class, Header};
use crate::object::Elf;
use crate::section::Section;

/// Writes `elf` in its new layout.
pub(super) fn write(
    elf: &Elf<'_>,
    selection: &Selection<'_>,
    layout: &Layout,
) -> Result<Vec<u8>, StripError> {
    let encoding = elf.reader.encoding;
    let headers: Vec<u8> = section_headers(elf, selection, layout)
        .into_iter()
        .flat_map(|header| header.to_bytes(encoding))
        .collect();
    let mut parts: Vec<(u64, &[u8])> = vec![(layout.headers, &headers)];
    if selection.names_section.is_some() {
        parts.push((layout.names, &layout.table.0));
    }
    for range in &layout.ranges {
        let size = range.end - range.start;
        parts.push((range.place, elf.reader.slice(range.start, size, "segment")?));
    }
    for index in &layout.loose {
        if let (Some(place), Some(section)) =
            (layout.sections.get(*index), elf.sections.get(*index))
        {
            let bytes = elf.reader.slice(section.offset, section.size, "section")?;
            parts.push((*place, bytes));
        }
    }
    parts.sort_by_key(|(place, bytes)| (*place, bytes.len()));
    let capacity = usize::try_from(layout.length)
        .map_err(|_| StripError::Unsupported("it is larger than memory"))?;
    let mut file = File(Vec::with_capacity(capacity));
    for (place, bytes) in parts {
        file.append(place, bytes)?;
    }
    symbols::renumber(elf, selection, layout, &mut file)?;
    program_headers(elf, layout, &mut file)?;
    elf_header(elf, selection, layout, &mut file)?;
    Ok(file.0)
}

fn section_headers(elf: &Elf<'_>, selection: &Selection<'_>, layout: &Layout) -> Vec<Section> {
    let mut headers: Vec<Section> = Vec::with_capacity(selection.kept.len());
    for (new, old) in selection.kept.iter().enumerate() {
        let Some(section) = elf.sections.get(*old) else {
            continue;
        };
        let mut header = *section;
        header.name = layout.table.1.get(new).copied().unwrap_or(0);
        if *old == 0 {
            headers.push(first_header(&header, selection));
            continue;
        }
        header.link = u32::try_from(selection.index(section.link)).unwrap_or(0);
        let info_is_index =
            section.flags & SHF_INFO_LINK != 0 || matches!(section.kind, SHT_REL | SHT_RELA);
        if info_is_index {
            header.info = u32::try_from(selection.index(section.info)).unwrap_or(0);
        }
        if Some(*old) == selection.names_section {
            header.offset = layout.names;
            header.size = layout.table.0.len() as u64;
        } else if let Some(place) = layout.sections.get(*old) {
            header.offset = *place;
        }
        headers.push(header);
    }
    headers
}

/// Section 0 holds what does not fit into the ELF header: numbers of sections, and the number of program headers
/// in `sh_info`, which stays.
fn first_header(section: &Section, selection: &Selection<'_>) -> Section {
    let extended = |number| if needs_extension(number) { number } else { 0 };
    Section {
        size: extended(selection.kept.len()) as u64,
        link: u32::try_from(extended(names_index(selection))).unwrap_or(0),
        ..*section
    }
}

fn program_headers(elf: &Elf<'_>, layout: &Layout, file: &mut File) -> Result<(), StripError> {
    let size = Header::program_header_size(elf.header.class);
    for (index, segment) in elf.segments.iter().enumerate() {
        let offset = layout.segment(segment.offset, segment.file_size);
        if offset != segment.offset {
            let at = elf.header.program_header_offset + index as u64 * size;
            let moved = crate::Segment { offset, ..*segment };
            file.put(at, &moved.to_bytes(elf.reader.encoding))?;
        }
    }
    Ok(())
}

/// Place and number of the section headers; the program headers never move.
fn elf_header(
    elf: &Elf<'_>,
    selection: &Selection<'_>,
    layout: &Layout,
    file: &mut File,
) -> Result<(), StripError> {
    let (offset_at, count_at) = match elf.header.class {
        Class::Elf32 => (0x20, 0x30),
        Class::Elf64 => (0x28, 0x3c),
    };
    let short = |number: usize, extended: u16| {
        u16::try_from(number)
            .ok()
            .filter(|_| !needs_extension(number))
            .unwrap_or(extended)
    };
    let record = || Record::new(elf.reader.encoding);
    file.put(offset_at, &record().word(layout.headers).bytes)?;
    let numbers = record()
        .u16(short(selection.kept.len(), 0))
        .u16(short(names_index(selection), SHN_XINDEX));
    file.put(count_at, &numbers.bytes)
}

fn names_index(selection: &Selection<'_>) -> usize {
    selection
        .names_section
        .and_then(|old| selection.renumbered.get(old).copied().flatten())
        .unwrap_or(0)
}

/// Whether a count or index of sections stands in section 0 (gABI "Sections", extended numbering).
fn needs_extension(number: usize) -> bool {
    number >= usize::from(SHN_LORESERVE)
}

/// The file under construction; every write is checked.
pub(super) struct File(Vec<u8>);

impl File {
    fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StripError> {
        let offset = usize::try_from(offset)
            .ok()
            .filter(|offset| *offset >= self.0.len())
            .ok_or(StripError::Unsupported("its parts overlap"))?;
        self.0.resize(offset, 0);
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StripError> {
        let start = usize::try_from(offset).ok();
        start
            .and_then(|start| Some(start..start.checked_add(bytes.len())?))
            .and_then(|range| self.0.get_mut(range))
            .ok_or(StripError::Unsupported("a table lies outside the file"))?
            .copy_from_slice(bytes);
        Ok(())
    }
}
