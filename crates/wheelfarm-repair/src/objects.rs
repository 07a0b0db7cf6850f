//! How one ELF object changes: stripped, then edited.

use bytes::Bytes;
use wheelfarm_elf::{Edits, RpathEdit, StripError, edit, strip};

use crate::{Graft, MemberEdit, RepairError};

/// What happens to an object. Its debug form names all of it, so that it can be part of a key.
#[derive(Debug)]
pub(crate) struct Change {
    strip: bool,
    edits: Edits,
}

impl Change {
    /// What a grafted library becomes.
    pub(crate) fn of_graft(graft: &Graft) -> Self {
        let edits = Edits {
            soname: Some(graft.name.clone()),
            replace_needed: graft.renames.clone(),
            remove_needed: graft.remove_needed.clone(),
            rpath: match &graft.rpath {
                Some(path) => RpathEdit::SetRpath(path.clone()),
                None => RpathEdit::Remove,
            },
            ..Edits::default()
        };
        Self {
            strip: graft.strip,
            edits,
        }
    }

    /// What an object of the wheel becomes.
    pub(crate) fn of_member(change: &MemberEdit) -> Self {
        let edits = Edits {
            replace_needed: change.renames.clone(),
            remove_needed: change.remove_needed.clone(),
            add_needed: change.add_needed.clone(),
            rpath: match &change.rpath {
                Some(path) => RpathEdit::SetRpath(path.clone()),
                None => RpathEdit::Keep,
            },
            ..Edits::default()
        };
        Self {
            strip: change.strip,
            edits,
        }
    }

    /// The object as it will be; `file` is for errors.
    pub(crate) fn apply(&self, bytes: &[u8], file: &str) -> Result<Bytes, RepairError> {
        // Before it is edited: what other tools know of the layout of fresh objects holds for them.
        let stripped = if self.strip {
            Some(strip(bytes).map_err(|error| RepairError::Strip {
                file: file.to_owned(),
                error,
            })?)
        } else {
            None
        };
        let stripped = match stripped {
            // Large objects are not copied for nothing.
            Some(stripped) if self.edits.is_empty() => return Ok(stripped.into()),
            stripped => stripped,
        };
        let edited = edit(stripped.as_deref().unwrap_or(bytes), &self.edits);
        edited.map(Bytes::from).map_err(|error| RepairError::Edit {
            file: file.to_owned(),
            error,
        })
    }
}

/// Whether stripping an object takes anything away; an error for one that cannot be stripped, and keeps what it has.
pub(crate) fn has_symbols(bytes: &[u8]) -> Result<bool, StripError> {
    match strip(bytes) {
        Ok(stripped) => Ok(stripped != bytes),
        // Its symbols are what a relocatable object is for.
        Err(StripError::NotLinked(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
