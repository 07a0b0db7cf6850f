//! Removing what no loader needs: the work of GNU `strip --strip-all` on linked objects.
//!
//! The steps, one module each:
//! 1. `select`: which sections go;
//! 2. `layout`: what keeps its place, and where the rest goes;
//! 3. `names`: the new table of section names;
//! 4. `write` and `symbols`: the new file, with all indices of sections renumbered;
//! 5. here: the result is read back and compared.

mod layout;
mod names;
mod select;
mod symbols;
#[cfg(test)]
mod tests;
mod write;

use crate::constants::{ET_DYN, ET_EXEC, PT_LOAD};
use crate::error::ElfError;
use crate::object::Elf;

/// Why an object could not be stripped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StripError {
    /// The object cannot be read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// Only libraries and programs can do without their symbols.
    #[error("only libraries and programs can be stripped (e_type is {0})")]
    NotLinked(u16),
    /// The file goes on behind the object: an archive that a program reads out of its own file, as a rule at an
    /// offset that must not change. GNU strip drops it.
    #[error("the file has {length} bytes at {offset:#x} that are not part of the object")]
    TrailingData {
        /// Where the object ends, in bytes from the start of the file.
        offset: u64,
        /// How many bytes follow.
        length: u64,
    },
    /// The object is laid out in a way that strip cannot keep.
    #[error("cannot strip this object: {0}")]
    Unsupported(&'static str),
    /// The result did not read back as intended: a bug of this crate, or an object whose parts overlap.
    #[error("the stripped object does not read back as intended: {0} differ")]
    SelfCheck(&'static str),
}

/// The object without its symbol table, debug information and relocations that were kept for tools.
///
/// What is dropped is what GNU `strip --strip-all` drops; notes, `.comment`, `.gnu_debuglink`, `.gnu_debugdata` and
/// attributes stay. What a loader maps keeps its addresses and its offsets in the file, except that whole segments
/// move up where something before them goes away. An object with nothing to drop, and one without section headers,
/// comes back as it is, so that stripping twice changes nothing.
///
/// # Errors
///
/// For objects that cannot be read, are not linked, or have something of their own behind the last section.
pub fn strip(bytes: &[u8]) -> Result<Vec<u8>, StripError> {
    let elf = Elf::parse(bytes)?;
    if !matches!(elf.header.kind, ET_DYN | ET_EXEC) {
        return Err(StripError::NotLinked(elf.header.kind));
    }
    let selection = select::select(&elf)?;
    if !selection.drops_some() {
        return Ok(bytes.to_vec());
    }
    let layout = layout::Layout::new(&elf, &selection)?;
    // What stays may need other alignment, a page at most; more means that sections share bytes.
    if layout.length > bytes.len() as u64 + 4096 {
        return Err(StripError::Unsupported("its sections overlap"));
    }
    let stripped = write::write(&elf, &selection, &layout)?;
    verify(&elf, &stripped)?;
    Ok(stripped)
}

/// Compares what loaders see of both objects.
fn verify(old: &Elf<'_>, stripped: &[u8]) -> Result<(), StripError> {
    let new = Elf::parse(stripped)?;
    let check = |what, holds: bool| {
        if holds {
            Ok(())
        } else {
            Err(StripError::SelfCheck(what))
        }
    };
    check("headers", {
        (old.header.kind, old.header.machine, old.header.flags)
            == (new.header.kind, new.header.machine, new.header.flags)
    })?;
    check("segments", old.segments.len() == new.segments.len())?;
    for (before, after) in old.segments.iter().zip(&new.segments) {
        let moved = crate::Segment {
            offset: before.offset,
            ..*after
        };
        check("segments", *before == moved)?;
        let align = after.align.max(1);
        check(
            "places of segments",
            before.kind != PT_LOAD || before.offset % align == after.offset % align,
        )?;
    }
    check(
        "dynamic sections",
        old.dynamic_entries() == new.dynamic_entries(),
    )?;
    check("strings", old.strings.0 == new.strings.0)?;
    check("interpreters", old.interpreter() == new.interpreter())?;
    check("needed libraries", old.needed() == new.needed())?;
    check("version needs", old.version_needs() == new.version_needs())?;
    // Where the old ones cannot be read there is nothing to compare.
    let symbols = old.dynamic_symbols();
    check(
        "dynamic symbols",
        symbols.is_err() || new.dynamic_symbols() == symbols,
    )
}
