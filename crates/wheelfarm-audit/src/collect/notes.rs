//! Findings beside the tag.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wheelfarm_types::{Arch, Target};
use wheelfarm_wheel::Wheel;

use super::scan::Scanned;
use crate::facts::is_libpython;
use crate::graph::stays_in_wheel;
use crate::verdict::Subject;
use crate::{ExternalLibrary, Finding, Found, LibcFamily};

/// Findings about single objects.
pub(super) fn about_objects(
    wheel: &Wheel,
    scanned: &[Scanned],
    arch: Option<Arch>,
    libc: Option<LibcFamily>,
    findings: &mut Vec<Finding>,
) {
    if scanned.is_empty() {
        findings.push(Finding::NoElf);
    }
    let purelib = format!("{}/purelib/", wheel.data_dir());
    let record = wheel.record().unwrap_or_default();
    let listed: HashSet<&str> = record.rows.iter().map(|row| row.path.as_str()).collect();
    for object in scanned {
        let path = || object.path.clone();
        let own = object.facts.arch();
        if !arch.is_some_and(|arch| object.facts.is_for(arch)) {
            let (_, _, machine) = object.facts.platform;
            findings.push(Finding::OtherArch {
                path: path(),
                arch: own.map_or_else(|| format!("ELF machine {machine}"), |arch| arch.to_string()),
            });
        }
        if arch.is_some_and(|arch| object.facts.is_newer_arm(arch)) {
            findings.push(Finding::NewerArm { path: path() });
        }
        if let Some(own) = object
            .libc()
            .filter(|own| libc.is_some_and(|libc| libc != *own))
        {
            findings.push(Finding::OtherLibc {
                path: path(),
                libc: own,
            });
        }
        if object.path.starts_with(&purelib) {
            findings.push(Finding::ElfInPurelib { path: path() });
        }
        if object.facts.executable_stack {
            findings.push(Finding::ExecutableStack { path: path() });
        }
        if !listed.contains(object.path.as_str()) {
            findings.push(Finding::NotInRecord { path: path() });
        }
        for soname in object.facts.needed.iter().filter(|name| is_libpython(name)) {
            findings.push(Finding::LinksLibpython {
                path: path(),
                soname: soname.clone(),
            });
        }
        let installed = wheel.installed(&object.path);
        let paths = [&object.facts.rpath, &object.facts.runpath];
        for entry in paths.into_iter().flatten().flat_map(|path| path.split(':')) {
            if !stays_in_wheel(entry, &installed) {
                findings.push(Finding::OutsideRpath {
                    path: path(),
                    entry: entry.to_owned(),
                });
            }
        }
    }
}

/// Findings about the libraries that objects lead to.
pub(super) fn about_libraries(
    subjects: &[Subject<'_>],
    external: &[ExternalLibrary],
    findings: &mut Vec<Finding>,
) {
    for library in external {
        if library.path.is_none() && !library.libpython {
            findings.push(Finding::MissingLibrary {
                soname: library.soname.clone(),
                needed_by: library.needed_by.clone(),
            });
        }
    }
    let mut places: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, node) in subjects.iter().flat_map(|subject| subject.tree) {
        if let Found::Root(path) | Found::Wheel(path) = &node.found {
            places.entry(name).or_default().insert(path);
        }
    }
    for (soname, paths) in places.into_iter().filter(|(_, paths)| paths.len() > 1) {
        findings.push(Finding::AmbiguousLibrary {
            soname: soname.to_owned(),
            paths: paths.into_iter().map(str::to_owned).collect(),
        });
    }
}

/// Findings about what the file name promises. What links no C library (`libc` is none) runs with each.
pub(super) fn about_tags(
    wheel: &Wheel,
    earned: Option<Target>,
    libc: Option<LibcFamily>,
    has_elf: bool,
    findings: &mut Vec<Finding>,
) {
    for tag in &wheel.filename().platforms {
        let kept = match tag.parse::<Target>() {
            Ok(target) => earned.is_some_and(|earned| {
                earned.arch == target.arch && (libc.is_none() || earned.libc.runs_on(target.libc))
            }),
            Err(_) => !(has_elf && tag == "any"),
        };
        if !kept {
            findings.push(Finding::UnearnedTag { tag: tag.clone() });
        }
    }
}
