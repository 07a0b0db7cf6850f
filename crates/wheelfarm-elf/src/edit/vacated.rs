//! What a string table leaves when it moves.

use super::EditError;
use super::buffer::Buffer;
use crate::constants::{DT_STRTAB, PT_LOAD, SHT_STRTAB};
use crate::object::Elf;
use crate::section::Section;
use crate::segment::Segment;

/// Overwrites the old string table with zeros, which compress to nothing: a table can be a good part of a library, and
/// archives would hold it twice. Left as it is where anything else may lie in it.
pub(super) fn clear_strings(elf: &Elf<'_>, buffer: &mut Buffer) -> Result<(), EditError> {
    let Some(table) = string_table(elf) else {
        return Ok(());
    };
    let overlaps = |offset: u64, length: u64| {
        let (end, table_end) = (
            offset.saturating_add(length),
            table.offset.saturating_add(table.size),
        );
        length > 0 && offset < table_end && end > table.offset
    };
    let shared = elf.sections.iter().any(|section| {
        section != table && section.is_in_file() && overlaps(section.offset, section.size)
    });
    let of_segment = |segment: &&Segment| overlaps(segment.offset, segment.file_size);
    // The same bytes may be loaded to several places.
    let named: Vec<u32> = elf
        .segments
        .iter()
        .filter(of_segment)
        .map(|segment| segment.kind)
        .collect();
    if shared || named != [PT_LOAD] {
        return Ok(());
    }
    // It is in the file, which is in memory.
    let zeros = vec![0; elf.strings.0.len()];
    buffer.put(table.offset, &zeros)
}

/// The section that is exactly the dynamic string table.
fn string_table<'a>(elf: &'a Elf<'_>) -> Option<&'a Section> {
    let address = elf.dynamic_value(DT_STRTAB)?;
    let size = elf.strings.0.len() as u64;
    elf.sections.iter().find(|section| {
        section.kind == SHT_STRTAB && section.address == address && section.size == size
    })
}
