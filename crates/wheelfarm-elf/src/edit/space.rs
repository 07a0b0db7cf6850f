//! The address space and the file: where there is a place for more.

use super::EditError;
use crate::constants::{ET_EXEC, PT_LOAD};
use crate::header::Class;
use crate::object::Elf;
use crate::segment::Segment;
use crate::symbols::RawSymbol;

/// No supported page is smaller.
pub(super) const MIN_PAGE: u64 = 0x1000;
/// Larger alignments are no page sizes.
const MAX_PAGE: u64 = 0x1_0000_0000;
/// How many addresses may be left out to please `eu-elflint`.
const MAX_GAP: u64 = 16 << 20;
/// How many zero bytes may be spent to keep the program headers of a program where
/// old kernels expect them.
const MAX_PADDING: u64 = 64 << 20;

/// The first number from `start` on that is `phase` modulo `align`.
pub(super) fn next(start: u64, align: u64, phase: u64) -> Option<u64> {
    let align = align.max(1);
    let missing = (align + phase % align - start % align) % align;
    start.checked_add(missing)
}

/// The largest `p_align` and `least`, within reason.
pub(super) fn page_size(elf: &Elf<'_>, least: Option<u64>) -> Result<u64, EditError> {
    let aligns = elf
        .segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .map(|segment| segment.align);
    let align = aligns.max().unwrap_or(MIN_PAGE);
    let align = align.max(MIN_PAGE).max(least.unwrap_or(MIN_PAGE));
    if !align.is_power_of_two() || align > MAX_PAGE {
        return Err(EditError::Unsupported(
            "its segment alignment is no page size",
        ));
    }
    Ok(align)
}

/// The first virtual address behind all segments.
pub(super) fn end_of_memory(segments: &[Segment]) -> Result<u64, EditError> {
    segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .map(|segment| segment.address.checked_add(segment.memory_size))
        .try_fold(0, |end, this| Some(this?.max(end)))
        .ok_or(EditError::Unsupported("its addresses overflow"))
}

/// The least address for new read-only memory behind `end`, in steps of `align`.
///
/// elfutils' `eu-elflint` takes a relocation to write as many bytes as its symbol is
/// large, and reports one that so reaches into read-only memory. Addresses cost
/// nothing, so the memory begins where none does.
pub(super) fn behind_relocations(elf: &Elf<'_>, end: u64, align: u64) -> u64 {
    // Relocations that cannot be read are no reason to refuse the edit.
    let Ok(Some(table)) = elf.symbol_table() else {
        return end;
    };
    let size = RawSymbol::size(elf.header.class);
    let mut reach = 0;
    let read = elf.each_relocation(|address, symbol| {
        let at = table.offset.saturating_add(symbol.saturating_mul(size));
        if symbol < table.count
            && address < end
            && let Ok(symbol) = RawSymbol::parse(elf.reader, at)
        {
            reach = address.saturating_add(symbol.size).max(reach);
        }
    });
    let behind = reach
        .checked_add(1)
        .and_then(|reach| reach.checked_next_multiple_of(align))
        .filter(|behind| read.is_ok() && *behind <= end.saturating_add(MAX_GAP));
    behind.unwrap_or(end).max(end)
}

/// Where a program's table has to go: kernels before 5.18 take its address to be
/// `e_phoff` plus the distance of the first segment. `None` for libraries, whose
/// loader reads it from the file.
pub(super) fn table_offset_for_program(
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
pub(super) fn check_limits(elf: &Elf<'_>, segment: &Segment) -> Result<(), EditError> {
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
