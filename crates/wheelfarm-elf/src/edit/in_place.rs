//! What changes no size: the ABI, the stack of objects that are not dynamic, and
//! versions taken off symbols.

use std::collections::BTreeSet;

use super::buffer::Buffer;
use super::{EditError, Edits};
use crate::bytes::Record;
use crate::constants::{PF_X, PT_GNU_STACK};
use crate::header::Header;
use crate::object::Elf;

/// Offset of `EI_OSABI` in the file.
const OS_ABI_AT: u64 = 7;
/// The version index of symbols that are global and have no version.
const GLOBAL: u16 = 1;

/// Applies the part of `edits` that is done where things are.
pub(super) fn edit(bytes: Vec<u8>, edits: &Edits) -> Result<Vec<u8>, EditError> {
    let changes = {
        let elf = Elf::parse(&bytes)?;
        let mut changes = Vec::new();
        changes.extend(edits.os_abi.map(|abi| (OS_ABI_AT, vec![abi])));
        if elf.dynamic.is_none() {
            changes.extend(edits.executable_stack.and_then(|on| stack(&elf, on)));
        }
        changes.extend(cleared_versions(&elf, &edits.clear_symbol_versions)?);
        changes
    };
    let mut buffer = Buffer(bytes);
    for (offset, bytes) in changes {
        buffer.put(offset, &bytes)?;
    }
    Ok(buffer.0)
}

/// The program header of the stack with its new flags.
fn stack(elf: &Elf<'_>, executable: bool) -> Option<(u64, Vec<u8>)> {
    let is_stack = |segment: &crate::Segment| segment.kind == PT_GNU_STACK;
    let index = elf.segments.iter().position(is_stack)?;
    let mut segment = *elf.segments.get(index)?;
    segment.flags = if executable {
        segment.flags | PF_X
    } else {
        segment.flags & !PF_X
    };
    let size = Header::program_header_size(elf.header.class);
    let offset = elf.header.program_header_offset + index as u64 * size;
    Some((offset, segment.to_bytes(elf.reader.encoding)))
}

/// New version indices, with their file offsets, of the symbols in `names`.
fn cleared_versions(
    elf: &Elf<'_>,
    names: &BTreeSet<String>,
) -> Result<Vec<(u64, Vec<u8>)>, EditError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let Some(versions) = elf.symbol_table()?.and_then(|table| table.versions) else {
        return Err(EditError::NoVersions);
    };
    let global = Record::new(elf.reader.encoding).u16(GLOBAL).bytes;
    let symbols = elf.dynamic_symbols()?;
    let named = symbols.iter().zip(1u64..);
    Ok(named
        .filter(|(symbol, _)| names.contains(symbol.name.as_ref()))
        .map(|(_, index)| (versions.saturating_add(index * 2), global.clone()))
        .collect())
}
