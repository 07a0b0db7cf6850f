//! From patchelf's operations to edits of one object. Patchelf does them one after the
//! other; here they become one edit with the same outcome.

use std::collections::BTreeMap;

use wheelfarm_elf::constants::{ET_DYN, PT_GNU_STACK};
use wheelfarm_elf::{Edits, Elf, RpathEdit};

use super::args::{Operations, os_abi};
use super::print::{needs_dynamic, search_path};
use super::{Refusal, missing, shrink};

/// What `operations` ask of `elf`.
pub(super) fn edits(elf: &Elf<'_>, operations: &Operations) -> Result<Edits, Refusal> {
    let interpreter = operations.interpreter.clone();
    // An empty one counts as none given.
    let interpreter = interpreter.filter(|path| !path.is_empty());
    if interpreter.is_some() && elf.interpreter().is_none() {
        return Err(missing(".interp"));
    }
    let soname = operations.soname.clone();
    let edits = Edits {
        os_abi: os_abi(operations)?,
        soname: soname.filter(|name| elf.header().kind == ET_DYN && elf.soname() != Some(name)),
        interpreter,
        executable_stack: executable_stack(elf, operations)?,
        rpath: rpath(elf, operations)?,
        remove_needed: operations.remove_needed.clone(),
        replace_needed: replacements(operations),
        add_needed: operations.add_needed.iter().cloned().collect(),
        clear_symbol_versions: operations.clear_symbol_versions.clone(),
        rename_symbols: operations.rename_symbols.clone(),
        no_default_libraries: operations.no_default_libraries,
        debug_tag: operations.debug_tag,
        page_size: operations.page_size,
    };
    let anywhere = Edits {
        os_abi: edits.os_abi,
        executable_stack: edits.executable_stack,
        page_size: edits.page_size,
        ..Edits::default()
    };
    if edits != anywhere {
        needs_dynamic(elf)?;
    }
    Ok(edits)
}

/// A name that is replaced by itself may not be there to replace.
fn replacements(operations: &Operations) -> BTreeMap<String, String> {
    let mut replacements = operations.replace_needed.clone();
    replacements.retain(|old, new| old != new);
    replacements
}

/// Printing comes before clearing, which comes before setting; only one is done.
fn executable_stack(elf: &Elf<'_>, operations: &Operations) -> Result<Option<bool>, Refusal> {
    if operations.print_executable_stack {
        return Ok(None);
    }
    let wanted = match (
        operations.clear_executable_stack,
        operations.set_executable_stack,
    ) {
        (true, _) => false,
        (false, true) => true,
        (false, false) => return Ok(None),
    };
    let has_header = elf.segments().iter().any(|seg| seg.kind == PT_GNU_STACK);
    if !has_header {
        return Err("the object has no PT_GNU_STACK program header to change".into());
    }
    Ok(Some(wanted))
}

/// Shrinking comes before removing, that before setting and adding; only one is done.
fn rpath(elf: &Elf<'_>, operations: &Operations) -> Result<RpathEdit, Refusal> {
    let any = operations.shrink_rpath
        || operations.remove_rpath
        || operations.set_rpath
        || operations.add_rpath;
    if !any {
        return Ok(RpathEdit::Keep);
    }
    needs_dynamic(elf)?;
    let old = search_path(elf);
    let new = if operations.shrink_rpath {
        let Some(old) = old else {
            return Ok(RpathEdit::Keep);
        };
        shrink::shrink(old, elf, &operations.allowed_prefixes)
    } else if operations.remove_rpath {
        return Ok(RpathEdit::Remove);
    } else {
        let before = old.filter(|old| operations.add_rpath && !old.is_empty());
        let before = before.map(|old| format!("{old}:")).unwrap_or_default();
        format!("{before}{}", operations.rpath)
    };
    if old.is_none() && new.is_empty() {
        return Ok(RpathEdit::Keep);
    }
    let is_in_place = if operations.force_rpath {
        elf.runpath().is_none()
    } else {
        elf.runpath().is_some()
    };
    if old == Some(&new) && is_in_place {
        return Ok(RpathEdit::Keep);
    }
    // The start code of such a program reads its own dynamic section, and crashes on a
    // search path.
    if elf.is_executable() && elf.interpreter().is_none() && elf.header().kind == ET_DYN {
        return Err("a static program has no use for a search path, and may crash on one".into());
    }
    Ok(if operations.force_rpath {
        RpathEdit::SetRpath(new)
    } else {
        RpathEdit::SetRunpath(new)
    })
}
