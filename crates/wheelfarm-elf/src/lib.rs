//! Read an ELF object and edit it: bytes in, bytes out.
//!
//! [`Elf::parse`] reads what a dynamic loader reads: program headers and the
//! dynamic section they point at. Section headers are a help, never needed.
//!
//! [`edit()`] renames and removes what a loader looks for (soname, needed libraries,
//! search path, interpreter) in one pass and moves nothing it does not have to.
//!
//! [`strip()`] removes what no loader needs: the symbol table and debug information.
//!
//! Names follow the ELF specification (gABI) and, for what it does not define
//! (symbol versions, `PT_GNU_*`), the Linux Standard Base. Input is taken to be
//! hostile: every offset, count and size is checked against the file.
//!
//! ```
//! use wheelfarm_elf::{Elf, ElfError};
//!
//! assert!(!Elf::is_elf(b"#!/bin/sh\n"));
//! assert_eq!(Elf::parse(b"#!/bin/sh\n").err(), Some(ElfError::NotElf));
//! ```
#![warn(clippy::indexing_slicing)]

mod arm;
mod bytes;
pub mod constants;
mod dynamic;
mod edit;
mod error;
mod hash;
mod header;
mod notes;
mod object;
mod parts;
mod section;
mod segment;
mod strings;
mod strip;
mod symbol_count;
mod symbols;
mod versions;

#[cfg(test)]
mod crafted;

pub use dynamic::DynamicEntry;
pub use edit::{EditError, Edits, RpathEdit, edit};
pub use error::ElfError;
pub use header::{Class, Endian, Header};
pub use object::Elf;
pub use parts::Parts;
pub use segment::Segment;
pub use strip::{StripError, strip};
pub use symbols::{Binding, DynamicSymbol, SymbolKind};
pub use versions::{VersionDefinition, VersionNeed, VersionNeedEntry};
