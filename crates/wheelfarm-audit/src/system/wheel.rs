//! What of a wheel does not run on a system.

use wheelfarm_types::{Libc, Target, WheelFilename};
use wheelfarm_wheel::Wheel;

use crate::collect::{Objects, audit_objects};
use crate::{
    AuditError, AuditOptions, ElfObject, Found, LibcFamily, LibraryRoot, LibraryTree, Policies,
};

/// Why a wheel does not run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Its tags want a newer C library, or another one. Installers refuse it.
    Libc {
        /// The oldest that its tags allow.
        needed: String,
    },
    /// A library is not there.
    Library {
        /// The name it is needed by.
        library: String,
        /// The library of the system that needs it, where it is not the wheel that does.
        by: Option<String>,
    },
    /// A library is there that lacks versions of symbols.
    Version {
        /// The name it is needed by.
        library: String,
        /// Its file.
        path: String,
        /// The versions.
        versions: Vec<String>,
    },
}

/// A problem, and the member of the wheel that has it, if it is not the wheel as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// The problem.
    pub problem: Problem,
    /// The member's path.
    pub member: Option<String>,
}

/// Looks at a wheel, and whether all that it needs is in `root`, whose C library is `libc`. Libraries that come with other
/// wheels count as missing.
///
/// Objects for another architecture or C library than the wheel's are left alone: they are data.
pub fn problems(
    wheel: &Wheel,
    objects: &Objects,
    root: &LibraryRoot,
    libc: Option<Libc>,
) -> Result<Vec<Needed>, AuditError> {
    let mut found = Vec::new();
    let allowed = allowed(wheel.filename());
    let runs = |needed: &Libc| libc.is_some_and(|libc| needed.runs_on(libc));
    if let Some(needed) = allowed.first()
        && !allowed.iter().any(runs)
    {
        found.push(Needed {
            problem: Problem::Libc {
                needed: needed.to_string(),
            },
            member: None,
        });
        // Nothing of it is found with another loader, and what lies in the system is of no interest.
        let family = libc.map(LibcFamily::of);
        if !allowed
            .iter()
            .any(|needed| family == Some(LibcFamily::of(*needed)))
        {
            return Ok(found);
        }
    }
    let policies = Policies::builtin()?;
    let report = audit_objects(wheel, objects, root, &AuditOptions::default())?;
    let too_new = !found.is_empty();
    for object in report.objects.iter().filter(|object| object.considered) {
        let mut add = |problem| {
            found.push(Needed {
                problem,
                member: Some(object.path.clone()),
            });
        };
        for (name, node) in &object.libraries {
            if node.found == Found::Missing {
                let by = by(&object.libraries, object, name);
                let library = name.clone();
                add(Problem::Library { library, by });
            }
        }
        // musl takes no notice of versions.
        if libc.map(LibcFamily::of) == Some(LibcFamily::Musl) {
            continue;
        }
        for (library, needed) in &object.version_needs {
            let Some(Found::Root(path)) = object.libraries.get(library).map(|node| &node.found)
            else {
                continue;
            };
            let Some(facts) = root.library(path, policies)? else {
                continue;
            };
            let lacking = needed.iter().filter(|version| {
                // That glibc is too old has been said.
                let said = too_new && version.starts_with("GLIBC_");
                !said && !facts.defined_versions.contains(*version)
            });
            let versions: Vec<String> = lacking.cloned().collect();
            // A library without versions serves whoever wants some.
            if !versions.is_empty() && !facts.defined_versions.is_empty() {
                add(Problem::Version {
                    library: library.clone(),
                    path: path.clone(),
                    versions,
                });
            }
        }
    }
    Ok(found)
}

/// The C libraries that the wheel's tags allow, the oldest first; none if they want none.
fn allowed(filename: &WheelFilename) -> Vec<Libc> {
    let targets = filename
        .platforms
        .iter()
        .filter_map(|tag| tag.parse::<Target>().ok());
    let mut allowed: Vec<_> = targets.map(|target| target.libc).collect();
    allowed.sort();
    allowed
}

/// The library of the system that needs `name`, if the object itself does not.
fn by(tree: &LibraryTree, object: &ElfObject, name: &String) -> Option<String> {
    if object.needed.contains(name) {
        return None;
    }
    tree.values()
        .filter(|node| node.needed.contains(name))
        .find_map(|node| match &node.found {
            Found::Root(path) => Some(path.clone()),
            _ => None,
        })
}
