//! Findings about what extension modules want of the interpreter, beside what the wheel's tags promise.
//!
//! What abi3audit looks for in `abi3` wheels; modules that the interpreters of the tag do not look for or cannot
//! load; and, for Python 2, the width of its characters.

use std::collections::{BTreeMap, BTreeSet};

use wheelfarm_types::WheelFilename;

use super::scan::Scanned;
use crate::stable_abi::{Release, added};
use crate::{ElfFacts, Finding};

/// What free-threaded interpreters count references with, in the place of `_Py_Dealloc`
/// (`Include/refcount.h`; absent from others).
pub(crate) const FREE_THREADED: [&str; 2] = ["_Py_DecRefShared", "_Py_MergeZeroLocalRefcount"];

/// What a wheel's interpreter and ABI tags promise.
struct Claim<'a> {
    abis: &'a [String],
    /// The oldest CPython that installs the wheel.
    oldest: Option<Release>,
    stable: bool,
}

/// Findings about objects that use Python.
pub(super) fn about_modules<'a>(
    filename: &WheelFilename,
    objects: impl Iterator<Item = &'a Scanned> + Clone,
    findings: &mut Vec<Finding>,
) {
    let claim = Claim {
        abis: &filename.abis,
        oldest: filename
            .pythons
            .iter()
            .filter_map(|tag| Release::of_tag(tag))
            .min(),
        stable: filename
            .abis
            .iter()
            .any(|abi| abi == "abi3" || abi == "abi3t"),
    };
    // What one object of the wheel has and another uses is not the interpreter's.
    let own: BTreeSet<&str> = objects
        .clone()
        .flat_map(|object| &object.facts.python_defined)
        .map(String::as_str)
        .collect();
    for object in objects.filter(|object| !object.facts.python_used.is_empty()) {
        let infix = infix(object.file_name());
        let named = object.module().is_some() && !claim.loads(infix);
        if named {
            findings.push(Finding::NamedForOthers {
                path: object.path.clone(),
                infix: infix.to_owned(),
            });
        }
        if !named && (claim.stable || infix == "abi3" || infix == "abi3t") {
            stable_abi(object, claim.oldest, &own, findings);
        }
        if let Some(free_threaded) = claim.other_threading(&object.facts) {
            findings.push(Finding::OtherThreading {
                path: object.path.clone(),
                free_threaded,
            });
        }
        if let Some(bytes) = claim.other_characters(&object.facts) {
            findings.push(Finding::OtherCharacters {
                path: object.path.clone(),
                bytes,
            });
        }
    }
}

fn stable_abi(
    object: &Scanned,
    claimed: Option<Release>,
    own: &BTreeSet<&str>,
    findings: &mut Vec<Finding>,
) {
    let mut foreign = Vec::new();
    let mut later = BTreeMap::new();
    let used = object.facts.python_used.iter();
    for symbol in used.filter(|symbol| !own.contains(symbol.as_str())) {
        match added(symbol) {
            None => foreign.push(symbol.clone()),
            Some(release) if claimed.is_some_and(|claimed| claimed < release) => {
                later.insert(symbol.clone(), release);
            }
            Some(_) => {}
        }
    }
    if !foreign.is_empty() {
        findings.push(Finding::BeyondStableAbi {
            path: object.path.clone(),
            symbols: foreign,
        });
    }
    if let (Some(claimed), Some(needed)) = (claimed, later.values().max().copied()) {
        findings.push(Finding::LaterStableAbi {
            path: object.path.clone(),
            claimed,
            needed,
            symbols: later,
        });
    }
}

/// What stands between a module's name and `.so`: `cpython-311-x86_64-linux-gnu`, `abi3`, nothing.
fn infix(file_name: &str) -> &str {
    let rest = file_name.split_once('.').map_or("", |(_, rest)| rest);
    rest.strip_suffix(".so").unwrap_or("")
}

impl Claim<'_> {
    /// Whether interpreters of the tags look for modules of this infix (`importlib.machinery.EXTENSION_SUFFIXES`).
    fn loads(&self, infix: &str) -> bool {
        // `cpython-313t-x86_64-linux-gnu`, `pypy310-pp73-x86_64-linux-gnu`: which interpreter, then the platform.
        let mut parts = infix.split('-');
        let wants = match (parts.next(), parts.next()) {
            (Some("cpython"), Some(version)) => format!("cp{version}"),
            (Some(pypy), Some(abi)) if pypy.starts_with("pypy") => format!("{pypy}_{abi}"),
            (Some("abi3"), None) => "abi3".to_owned(),
            // None at all, or one that is not known here.
            _ => return true,
        };
        self.abis.iter().any(|abi| {
            // Wheels of no ABI choose at run time. Interpreters with the lock take the stable ABI's modules.
            *abi == wants || abi == "none" || wants == "abi3" && !is_free_threaded(abi)
        })
    }

    /// Whether an object was compiled for interpreters with the lock while the tags name free-threaded ones
    /// (`Some(false)`), or the other way round (`Some(true)`).
    fn other_threading(&self, facts: &ElfFacts) -> Option<bool> {
        let free_threaded = FREE_THREADED
            .iter()
            .any(|symbol| facts.python_used.contains(*symbol));
        let locked = facts.python_used.contains("_Py_Dealloc") && !free_threaded;
        let all = |wanted: bool| {
            self.abis
                .iter()
                .all(|abi| abi.starts_with("cp") && is_free_threaded(abi) == wanted)
        };
        match () {
            () if locked && all(true) => Some(false),
            () if free_threaded && all(false) => Some(true),
            () => None,
        }
    }

    /// The bytes that a character has for a Python 2 module, if they are not those of the tag: 4 in `cp27mu`,
    /// 2 in `cp27m` (PEP 513).
    fn other_characters(&self, facts: &ElfFacts) -> Option<u8> {
        let [abi] = self.abis else {
            return None;
        };
        let wide = abi.strip_prefix("cp2")?.ends_with('u');
        let expected = if wide { 4 } else { 2 };
        let bytes = facts.unicode_width()?;
        (bytes != expected).then_some(bytes)
    }
}

/// `cp313t`.
fn is_free_threaded(abi: &str) -> bool {
    abi.starts_with("cp3") && abi.trim_end_matches('d').ends_with('t') || abi == "abi3t"
}

#[cfg(test)]
#[path = "python_tests.rs"]
mod tests;
