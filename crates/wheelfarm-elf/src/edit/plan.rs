//! What comes out: dynamic entries, strings and version records, not yet where.

use super::pool::Pool;
use super::rename;
use super::versions::{self, NeedsEdit};
use super::{EditError, Edits, RpathEdit};
use crate::constants::{
    DF_1_NODEFLIB, DT_DEBUG, DT_FLAGS_1, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_VERNEED,
    DT_VERNEEDNUM, DT_VERSYM, PF_X, PT_GNU_STACK, PT_INTERP,
};
use crate::dynamic::{Dynamic, DynamicEntry};
use crate::object::Elf;

/// A dynamic entry of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlannedEntry {
    pub(super) entry: DynamicEntry,
    /// Its index in the original, unless new.
    pub(super) origin: Option<usize>,
}

/// The names the result is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) soname: Option<String>,
    pub(super) needed: Vec<String>,
    pub(super) rpath: Option<String>,
    pub(super) runpath: Option<String>,
    pub(super) interpreter: Option<String>,
}

/// All that is to change. Addresses in it are still those of the original.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) names: Names,
    pub(super) entries: Vec<PlannedEntry>,
    pub(super) pool: Pool<'a>,
    pub(super) needs: NeedsEdit,
    /// New string offset and name of the base version definition.
    pub(super) base_definition: Option<(u64, String)>,
    /// New contents of `PT_INTERP`, with the final NUL.
    pub(super) interpreter: Option<Vec<u8>>,
    /// New `p_flags` of `PT_GNU_STACK`.
    pub(super) stack_flags: Option<u32>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        elf: &Elf<'a>,
        dynamic: &Dynamic,
        edits: &Edits,
    ) -> Result<Plan<'a>, EditError> {
        let names = names(elf, edits);
        let mut pool = Pool::new(elf.strings);
        let needs = NeedsEdit::new(elf, edits, &mut pool)?;
        let mut base_definition = None;
        if let Some(soname) = names.soname.as_deref()
            && elf.soname().is_some_and(|old| old != soname)
            && versions::base_definition(elf).is_some()
        {
            base_definition = Some((pool.offset(soname)?, soname.to_owned()));
        }
        let interpreter = match &edits.interpreter {
            Some(_) if elf.interpreter().is_none() => return Err(EditError::NoInterpreter),
            Some(path) if elf.interpreter() != Some(path.as_str()) => {
                Some([path.as_bytes(), &[0]].concat())
            }
            _ => None,
        };
        let stack = elf.segments.iter().find(|seg| seg.kind == PT_GNU_STACK);
        let stack_flags = stack
            .zip(edits.executable_stack)
            .map(|(segment, executable)| {
                if executable {
                    segment.flags | PF_X
                } else {
                    segment.flags & !PF_X
                }
            })
            .filter(|flags| stack.is_some_and(|segment| segment.flags != *flags));
        let entries = entries(elf, dynamic, edits, &names, &needs, &mut pool)?;
        rename::add_names(elf, &edits.rename_symbols, &mut pool)?;
        Ok(Plan {
            names,
            entries,
            pool,
            needs,
            base_definition,
            interpreter,
            stack_flags,
        })
    }

    /// Whether the object already is as asked for.
    pub(super) fn changes_nothing(&self, elf: &Elf<'_>, dynamic: &Dynamic) -> bool {
        self.entries
            .iter()
            .map(|planned| planned.entry)
            .eq(dynamic.entries.iter().copied())
            && !self.pool.has_grown()
            && self.needs.changes_nothing(elf)
            && self.base_definition.is_none()
            && self.interpreter.is_none()
            && self.stack_flags.is_none()
    }

    /// Whether the dynamic section does not fit where it is, its final `DT_NULL`
    /// counted.
    pub(super) fn dynamic_has_grown(&self, dynamic: &Dynamic) -> bool {
        self.entries.len() as u64 >= dynamic.slots
    }
}

fn names(elf: &Elf<'_>, edits: &Edits) -> Names {
    let kept: Vec<&str> = elf
        .needed()
        .iter()
        .filter_map(|name| edits.renamed(name))
        .collect();
    let mut needed: Vec<String> = Vec::new();
    for name in &edits.add_needed {
        if !kept.contains(&name.as_str()) && !needed.contains(name) {
            needed.push(name.clone());
        }
    }
    needed.extend(kept.into_iter().map(str::to_owned));
    let owned = |name: Option<&str>| name.map(str::to_owned);
    let (rpath, runpath) = match &edits.rpath {
        RpathEdit::Keep => (owned(elf.rpath()), owned(elf.runpath())),
        RpathEdit::Remove => (None, None),
        RpathEdit::SetRpath(path) => (Some(path.clone()), None),
        RpathEdit::SetRunpath(path) => (None, Some(path.clone())),
    };
    Names {
        soname: edits.soname.clone().or_else(|| owned(elf.soname())),
        needed,
        rpath,
        runpath,
        interpreter: edits
            .interpreter
            .clone()
            .or_else(|| owned(elf.interpreter())),
    }
}

/// The dynamic entries of the result: old ones keep their order, values that did
/// not change and their place; new ones follow the last `DT_NEEDED`.
fn entries(
    elf: &Elf<'_>,
    dynamic: &Dynamic,
    edits: &Edits,
    names: &Names,
    needs: &NeedsEdit,
    pool: &mut Pool<'_>,
) -> Result<Vec<PlannedEntry>, EditError> {
    let mut planned = Vec::new();
    let added = names.needed.len()
        - elf
            .needed()
            .iter()
            .filter(|name| edits.renamed(name).is_some())
            .count();
    for name in names.needed.iter().take(added) {
        planned.push(new_entry(DT_NEEDED, pool.offset(name)?));
    }
    let mut behind_needed = planned.len();
    let mut needed = elf.needed().iter();
    let set_path = !matches!(edits.rpath, RpathEdit::Keep);
    let mut open: Vec<(u64, &str)> = Vec::new();
    if let Some(name) = names.soname.as_deref().filter(|_| edits.soname.is_some()) {
        open.push((DT_SONAME, name));
    }
    if set_path {
        let path = |tag, path: &'_ Option<String>| path.as_ref().map(|_| tag);
        let tag = path(DT_RPATH, &names.rpath).or(path(DT_RUNPATH, &names.runpath));
        let value = names.rpath.as_deref().or(names.runpath.as_deref());
        open.extend(tag.zip(value));
    }
    for (index, entry) in dynamic.entries.iter().enumerate() {
        let mut entry = *entry;
        match entry.tag {
            DT_NEEDED => {
                let Some(old) = needed.next() else { continue };
                let Some(new) = edits.renamed(old) else {
                    continue;
                };
                if new != *old {
                    entry.value = pool.offset(new)?;
                }
            }
            DT_SONAME if edits.soname.is_some() => {
                let Some(name) = take(&mut open, |tag| tag == DT_SONAME) else {
                    continue;
                };
                if elf.soname() != Some(name.1) {
                    entry.value = pool.offset(name.1)?;
                }
            }
            DT_RPATH | DT_RUNPATH if set_path => {
                let Some((tag, path)) = take(&mut open, |tag| tag != DT_SONAME) else {
                    continue;
                };
                let old = elf.strings.get(entry.value, "search path")?;
                entry.tag = tag;
                if old != path {
                    entry.value = pool.offset(path)?;
                }
            }
            DT_VERNEED | DT_VERNEEDNUM if needs.removes_all() => continue,
            // ld.so looks up the versions of indices when there are indices, and
            // crashes when there are no versions at all.
            DT_VERSYM if needs.removes_all() && elf.raw_definitions.is_empty() => continue,
            DT_VERNEEDNUM if needs.removes_some() => entry.value = needs.count(),
            DT_FLAGS_1 if edits.no_default_libraries => entry.value |= DF_1_NODEFLIB,
            _ => {}
        }
        planned.push(PlannedEntry {
            entry,
            origin: Some(index),
        });
        if entry.tag == DT_NEEDED {
            behind_needed = planned.len();
        }
    }
    for (tag, name) in open.into_iter().rev() {
        planned.insert(behind_needed, new_entry(tag, pool.offset(name)?));
    }
    for (wanted, tag, value) in [
        (edits.no_default_libraries, DT_FLAGS_1, DF_1_NODEFLIB),
        (edits.debug_tag, DT_DEBUG, 0),
    ] {
        if wanted && elf.dynamic_value(tag).is_none() {
            planned.push(new_entry(tag, value));
        }
    }
    Ok(planned)
}

fn new_entry(tag: u64, value: u64) -> PlannedEntry {
    PlannedEntry {
        entry: DynamicEntry { tag, value },
        origin: None,
    }
}

fn take<'n>(open: &mut Vec<(u64, &'n str)>, is: impl Fn(u64) -> bool) -> Option<(u64, &'n str)> {
    let position = open.iter().position(|(tag, _)| is(*tag))?;
    Some(open.remove(position))
}

/// The segment of the program interpreter.
pub(super) fn interpreter_segment<'e>(elf: &'e Elf<'_>) -> Option<&'e crate::segment::Segment> {
    elf.segments
        .iter()
        .find(|segment| segment.kind == PT_INTERP)
}
