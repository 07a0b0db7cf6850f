//! What a wheel takes from the system that it runs on.

use std::collections::{BTreeMap, BTreeSet};

use wheelfarm_audit::{ElfObject, Found, LibraryTree};

use crate::records::SystemLibrary;

/// Libraries that every system with a Python has, beside those of the C library's own package: of the compilers, and
/// what package managers and Python itself need everywhere.
const EVERYWHERE: [&str; 4] = [
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libz.so.1",
    "libexpat.so.1",
];

/// The libraries that `objects` need and that are neither in their wheel nor grafted: what the objects need themselves
/// and what grafted libraries need, not what the system's own libraries need in turn. `grafted` are the names that
/// grafts are needed by, `owner` says which package a file of the environment belongs to.
pub(super) fn system_libraries(
    objects: &[ElfObject],
    grafted: &BTreeSet<&str>,
    owner: &dyn Fn(&str) -> Option<String>,
) -> Vec<SystemLibrary> {
    let mut found = BTreeMap::new();
    for object in objects.iter().filter(|object| object.considered) {
        let tree = &object.libraries;
        let c_library = c_library(tree).and_then(owner);
        let mut names: Vec<&String> = object.needed.iter().chain(&object.included).collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = names.pop() {
            let Some(node) = tree.get(name).filter(|_| seen.insert(name)) else {
                continue;
            };
            if grafted.contains(name.as_str()) {
                names.extend(&node.needed);
                continue;
            }
            let package = match &node.found {
                Found::Root(path) => owner(path),
                Found::Missing => None,
                Found::Wheel(_) | Found::Libpython => continue,
            };
            let everywhere = EVERYWHERE.contains(&name.as_str())
                || is_c_library(name)
                || (package.is_some() && package == c_library);
            if !everywhere {
                found.insert(name.clone(), package);
            }
        }
    }
    found
        .into_iter()
        .map(|(soname, package)| SystemLibrary { soname, package })
        .collect()
}

/// The file of the C library in `tree`.
fn c_library(tree: &LibraryTree) -> Option<&str> {
    tree.iter()
        .filter(|(name, _)| is_c_library(name))
        .find_map(|(_, node)| match &node.found {
            Found::Root(path) => Some(path.as_str()),
            _ => None,
        })
}

/// `libc.so.6`; `libc.so` and `libc.musl-x86_64.so.1` of musl; and loaders, which some objects need by name.
fn is_c_library(name: &str) -> bool {
    name.starts_with("libc.so") || name.starts_with("libc.musl-") || name.starts_with("ld-")
}

#[cfg(test)]
mod tests {
    use wheelfarm_audit::LibraryNode;

    use super::*;

    fn object(needed: &[&str], libraries: &[(&str, Found, &[&str])]) -> ElfObject {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        ElfObject {
            path: "x.so".to_owned(),
            arch: None,
            considered: true,
            executable: false,
            soname: None,
            needed: names(needed),
            included: Vec::new(),
            rpath: None,
            runpath: None,
            interpreter: None,
            version_needs: BTreeMap::new(),
            isa_level: 1,
            extension: None,
            libraries: libraries
                .iter()
                .map(|(name, found, needed)| {
                    let node = LibraryNode {
                        found: found.clone(),
                        needed: names(needed),
                    };
                    ((*name).to_owned(), node)
                })
                .collect(),
        }
    }

    fn root(name: &str) -> Found {
        Found::Root(format!("/usr/lib/{name}"))
    }

    fn needs(object: ElfObject, grafted: &[&str]) -> Vec<(String, Option<String>)> {
        let owner = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            Some(match name {
                "libc.so.6" | "libm.so.6" => "libc6".to_owned(),
                _ => name.split('.').next().unwrap_or_default().to_owned(),
            })
        };
        system_libraries(&[object], &grafted.iter().copied().collect(), &owner)
            .into_iter()
            .map(|library| (library.soname, library.package))
            .collect()
    }

    #[test]
    fn direct_needs_and_those_of_grafts() {
        let object = object(
            &[
                "libpq.so.5",
                "libm.so.6",
                "libc.so.6",
                "libown.so",
                "libz.so.1",
                "libgone.so.1",
            ],
            &[
                (
                    "libpq.so.5",
                    root("libpq.so.5"),
                    &["libldap.so.2", "libc.so.6"],
                ),
                ("libldap.so.2", root("libldap.so.2"), &["libsasl.so.2"]),
                ("libsasl.so.2", root("libsasl.so.2"), &[]),
                ("libm.so.6", root("libm.so.6"), &[]),
                ("libc.so.6", root("libc.so.6"), &[]),
                ("libz.so.1", root("libz.so.1"), &[]),
                ("libgone.so.1", Found::Missing, &[]),
                (
                    "libown.so",
                    Found::Wheel("x.libs/libown.so".to_owned()),
                    &[],
                ),
            ],
        );
        let package = |name: &str| Some(name.to_owned());
        let gone = ("libgone.so.1".to_owned(), None);
        assert_eq!(
            needs(object.clone(), &[]),
            [gone.clone(), ("libpq.so.5".to_owned(), package("libpq"))]
        );
        assert_eq!(
            needs(object.clone(), &["libpq.so.5"]),
            [
                gone.clone(),
                ("libldap.so.2".to_owned(), package("libldap"))
            ]
        );
        assert_eq!(
            needs(object, &["libpq.so.5", "libldap.so.2", "libsasl.so.2"]),
            [gone]
        );
    }
}
