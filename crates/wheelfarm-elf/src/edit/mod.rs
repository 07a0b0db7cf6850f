//! Editing an object: new names in the dynamic section, everything else in place.
//!
//! The steps, one module each:
//! 1. `plan`: which dynamic entries, strings and version records come out;
//! 2. `room`, `reuse`, `layout` and `headers`: where the bytes go that no longer fit.
//!    They go into one new `PT_LOAD` at the end of the file, or to the end of the one
//!    that an earlier edit made, so no existing address changes;
//! 3. `apply`: write, including section headers and symbols for tools that look
//!    at those (`strip`, `readelf`, debuggers);
//! 4. `verify`: parse the result and compare it with what was asked for;
//! 5. `in_place` and `rename`: what needs no further room, on the result of the first.

mod apply;
mod buffer;
mod headers;
mod in_place;
mod layout;
mod plan;
mod pool;
mod rename;
mod reuse;
mod room;
mod space;
mod symbol_hash;
#[cfg(test)]
mod tests;
mod vacated;
mod verify;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use crate::dynamic::Dynamic;
use crate::error::ElfError;
use crate::object::Elf;

/// More program headers than any linker writes; bounds what compares them pairwise.
const MAX_SEGMENTS: usize = 1024;

/// What to change in an object. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// New `DT_SONAME`, added when there is none. A base version definition that
    /// carries the old one follows.
    pub soname: Option<String>,
    /// `DT_NEEDED` names to replace, old to new, all at once; the versions needed
    /// of those libraries (`vn_file`) follow. Names that are not there are ignored.
    pub replace_needed: BTreeMap<String, String>,
    /// `DT_NEEDED` names to drop, with the versions needed of them. Old names:
    /// wins over [`Edits::replace_needed`]. A library that is also added keeps its versions: it only moves.
    pub remove_needed: BTreeSet<String>,
    /// `DT_NEEDED` names to put before all others, in this order, unless there.
    pub add_needed: Vec<String>,
    /// What to do with the search path.
    pub rpath: RpathEdit,
    /// New `PT_INTERP` path; only for objects that have one.
    pub interpreter: Option<String>,
    /// Whether `PT_GNU_STACK` asks for an executable stack; ignored without one.
    pub executable_stack: Option<bool>,
    /// Forbid loaders the default directories (`DF_1_NODEFLIB`).
    pub no_default_libraries: bool,
    /// Add `DT_DEBUG`, where debuggers look for the link map, unless it is there.
    pub debug_tag: bool,
    /// New `EI_OSABI`.
    pub os_abi: Option<u8>,
    /// Names of dynamic symbols that are to have no version.
    pub clear_symbol_versions: BTreeSet<String>,
    /// Dynamic symbols to rename, old name to new, all at once, after versions were
    /// cleared. Names that are not there are ignored.
    pub rename_symbols: BTreeMap<String, String>,
    /// The least alignment of a new segment: the page size of the machine the object
    /// is for, where its own segments do not show it.
    pub page_size: Option<u64>,
}

/// What to do with `DT_RPATH` and `DT_RUNPATH`. An object has at most one of them
/// after any edit but [`RpathEdit::Keep`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RpathEdit {
    /// Leave both.
    #[default]
    Keep,
    /// Remove both.
    Remove,
    /// Set `DT_RPATH`, which also serves the libraries that this one needs.
    SetRpath(String),
    /// Set `DT_RUNPATH`, which `LD_LIBRARY_PATH` precedes.
    SetRunpath(String),
}

/// Why an object could not be edited. Nothing is ever half edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The object cannot be read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The object has no dynamic section to edit.
    #[error("not a dynamic object: it has no dynamic section to edit")]
    NotDynamic,
    /// A new interpreter was asked for, but the object names none.
    #[error("the object has no program interpreter (PT_INTERP) to replace")]
    NoInterpreter,
    /// Versions were to be cleared, but the object's symbols have none (`DT_VERSYM`).
    #[error("the object has no symbol versions (DT_VERSYM) to clear")]
    NoVersions,
    /// A name cannot be written: it is empty or contains a NUL byte.
    #[error("invalid {what} {name:?}: empty, or contains a NUL byte")]
    InvalidName {
        /// What it was to name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The object is laid out in a way that leaves no safe place for the edit.
    #[error("cannot edit this object: {0}")]
    Unsupported(&'static str),
    /// The result did not read back as intended: a bug of this crate, or an object
    /// whose parts overlap.
    #[error("the edited object does not read back as intended: {0} differ")]
    SelfCheck(&'static str),
}

impl Edits {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        let page_size = self.page_size;
        *self
            == Edits {
                page_size,
                ..Edits::default()
            }
    }

    /// Whether something is asked for that only a dynamic object can have.
    fn need_dynamic(&self) -> bool {
        let anywhere = Edits {
            executable_stack: self.executable_stack,
            os_abi: self.os_abi,
            page_size: self.page_size,
            ..Edits::default()
        };
        *self != anywhere
    }

    /// The name of needed library `old` after the edit; `None` when it is removed.
    pub(crate) fn renamed<'n>(&'n self, old: &'n str) -> Option<&'n str> {
        if self.remove_needed.contains(old) {
            return None;
        }
        Some(self.replace_needed.get(old).map_or(old, String::as_str))
    }

    /// The name that versions needed of library `old` belong to after the edit;
    /// `None` when they go with it.
    pub(crate) fn version_file<'n>(&'n self, old: &'n str) -> Option<&'n str> {
        self.renamed(old)
            .or_else(|| self.add_needed.iter().any(|new| new == old).then_some(old))
    }

    fn check_names(&self) -> Result<(), EditError> {
        let needed = self.replace_needed.values().chain(&self.add_needed);
        let named = needed
            .map(|name| ("needed library", name))
            .chain(self.soname.iter().map(|name| ("soname", name)))
            .chain(self.interpreter.iter().map(|name| ("interpreter", name)))
            .chain(self.rename_symbols.values().map(|name| ("symbol", name)));
        for (what, name) in named {
            if name.is_empty() || name.contains('\0') {
                let name = name.clone();
                return Err(EditError::InvalidName { what, name });
            }
        }
        // An empty search path is odd but harmless, as for patchelf.
        if let RpathEdit::SetRpath(path) | RpathEdit::SetRunpath(path) = &self.rpath
            && path.contains('\0')
        {
            return Err(EditError::InvalidName {
                what: "search path",
                name: path.clone(),
            });
        }
        Ok(())
    }
}

/// Applies all of `edits` to the object in `bytes` in one pass.
///
/// The same input gives the same output; when nothing changes, that is the input.
/// The result is read back and compared before it is returned.
pub fn edit(bytes: &[u8], edits: &Edits) -> Result<Vec<u8>, EditError> {
    edits.check_names()?;
    let elf = Elf::parse(bytes)?;
    if edits.is_empty() {
        return Ok(bytes.to_vec());
    }
    if elf.segments.len() > MAX_SEGMENTS {
        return Err(EditError::Unsupported("it has too many program headers"));
    }
    let edited = match &elf.dynamic {
        None if edits.need_dynamic() => return Err(EditError::NotDynamic),
        None => bytes.to_vec(),
        Some(dynamic) => with_new_parts(&elf, dynamic, edits)?,
    };
    if edits.clear_symbol_versions.is_empty() && edits.rename_symbols.is_empty() {
        return in_place::edit(edited, edits);
    }
    let renamed = in_place::edit(edited.clone(), edits)?;
    let renamed = rename::rename(renamed, &edits.rename_symbols)?;
    verify::verify_frame(&edited, &renamed)?;
    Ok(renamed)
}

/// What may need more room than the object has.
fn with_new_parts(elf: &Elf<'_>, dynamic: &Dynamic, edits: &Edits) -> Result<Vec<u8>, EditError> {
    let plan = plan::Plan::new(elf, dynamic, edits)?;
    if plan.changes_nothing(elf, dynamic) {
        return Ok(elf.reader.bytes.to_vec());
    }
    let layout = layout::Layout::new(elf, dynamic, &plan, edits.page_size)?;
    let edited = apply::apply(elf, dynamic, &plan, &layout)?;
    verify::verify(elf, &edited, &plan, &layout, edits)?;
    Ok(edited)
}
