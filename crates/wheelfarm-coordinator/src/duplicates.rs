//! Libraries that several wheels of a set carry: they meet in one process.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wheelfarm_types::ProjectName;

use crate::run::BuiltWheel;

/// Libraries of which a second copy in a process is known to crash or to answer wrongly: they keep state for the
/// whole process, or hand structures from one user to another. By the first part of their names.
const CLASHING: [(&str, &str); 10] = [
    ("libssl", "OpenSSL keeps state for the whole process"),
    ("libcrypto", "OpenSSL keeps state for the whole process"),
    ("libldap", "OpenLDAP keeps options for the whole process"),
    ("libldap_r", "OpenLDAP keeps options for the whole process"),
    ("liblber", "OpenLDAP keeps options for the whole process"),
    (
        "libxml2",
        "libxml2 keeps tables for the whole process, and users hand each other its trees",
    ),
    ("libxslt", "it hands out trees of libxml2"),
    (
        "libkrb5",
        "Kerberos keeps credentials and plug-ins for the whole process",
    ),
    (
        "libgssapi_krb5",
        "Kerberos keeps credentials and plug-ins for the whole process",
    ),
    (
        "libsasl2",
        "Cyrus SASL keeps its plug-ins for the whole process",
    ),
];

/// Libraries that Python's own modules load from the system: `_ssl` and `_hashlib`.
const PYTHONS: [&str; 2] = ["libssl", "libcrypto"];

/// A library that more than one wheel of a cell carries, or one that Python has as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// The cell in which they meet.
    pub cell: String,
    /// The first part of its name: `libssl` of `libssl.so.3`.
    pub library: String,
    /// Who carries it.
    pub copies: Vec<Carrier>,
    /// How many different files that makes. The same file has the same name in all wheels, and a process loads it once
    /// on glibc; on musl each wheel's is loaded.
    pub files: usize,
    /// Whether Python's own modules load the system's.
    pub python: bool,
    /// Why two of them in a process are known to do harm, if they are.
    pub harm: Option<Cow<'static, str>>,
}

/// A wheel's copy of a library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Carrier {
    /// Whose wheel.
    pub project: ProjectName,
    /// The name it is needed by.
    pub soname: String,
    /// Where it lies in the wheel.
    pub path: String,
    /// `name version` of the system package it came from.
    pub package: Option<String>,
}

impl Duplicate {
    /// How many copies a process may hold, Python's own included.
    pub fn in_process(&self) -> usize {
        self.files + usize::from(self.python)
    }
}

/// What more than one wheel of a cell carries, and what Python has as well; by cell and library.
pub fn duplicates(wheels: &[BuiltWheel]) -> Vec<Duplicate> {
    let mut carried: BTreeMap<(String, String), BTreeSet<Carrier>> = BTreeMap::new();
    for wheel in wheels {
        for library in &wheel.artifact.vendored {
            let copy = Carrier {
                project: wheel.artifact.project.clone(),
                soname: library.soname.clone(),
                path: library.path.clone(),
                package: library.package.clone(),
            };
            let key = (wheel.cell.id(), stem(&library.soname).to_owned());
            carried.entry(key).or_default().insert(copy);
        }
    }
    carried
        .into_iter()
        .filter_map(|((cell, library), copies)| {
            let python = PYTHONS.contains(&library.as_str());
            let projects: BTreeSet<_> = copies.iter().map(|copy| &copy.project).collect();
            if projects.len() < 2 && !python {
                return None;
            }
            let musl = cell.contains("-musllinux_");
            let files: BTreeSet<_> = copies
                .iter()
                .map(|copy| {
                    let name = copy.path.rsplit('/').next().unwrap_or_default();
                    (musl.then_some(&copy.project), name)
                })
                .collect();
            Some(Duplicate {
                files: files.len(),
                harm: CLASHING
                    .iter()
                    .find_map(|(name, why)| (*name == library).then_some(Cow::Borrowed(*why))),
                copies: copies.into_iter().collect(),
                cell,
                library,
                python,
            })
        })
        .collect()
}

/// `libldap` of `libldap-2.5.so.0`, `libssl` of `libssl-81ffa89e.so.3`: the name without versions and digests.
fn stem(soname: &str) -> &str {
    let name = soname.split(".so").next().unwrap_or(soname);
    match name.split_once('-') {
        Some((first, rest)) if rest.starts_with(|c: char| c.is_ascii_digit()) => first,
        Some((first, rest)) if rest.len() >= 8 && rest.chars().all(|c| c.is_ascii_hexdigit()) => {
            first
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wheelfarm_build::catalogue::Catalogue;
    use wheelfarm_build::matrix::Cell;
    use wheelfarm_build::pipeline::{Artifact, Origin};
    use wheelfarm_build::records::Vendored;
    use wheelfarm_types::{Arch, Digest};

    use super::*;

    fn wheel(project: &str, image: &str, libraries: &[(&str, &str)]) -> BuiltWheel {
        let image = Catalogue::builtin(Arch::X86_64).get(image).unwrap().clone();
        let vendored = libraries.iter().map(|(soname, file)| Vendored {
            soname: (*soname).to_owned(),
            path: format!("{project}.libs/{file}"),
            package: None,
        });
        BuiltWheel {
            cell: Arc::new(Cell {
                python: "3.11".parse().unwrap(),
                target: image.target,
                image,
            }),
            artifact: Artifact {
                project: project.parse().unwrap(),
                version: "1".parse().unwrap(),
                filename: format!("{project}-1-py3-none-any.whl").parse().unwrap(),
                wheel: Digest::of(project),
                size: 1,
                origin: Origin::Built,
                because: String::new(),
                findings: Vec::new(),
                vendored: vendored.collect(),
                modules: Vec::new(),
                system: Vec::new(),
                test: None,
                network: false,
                added: None,
                requires: Vec::new(),
            },
            proof: None,
        }
    }

    #[track_caller]
    fn check(wheels: &[BuiltWheel], expected: &[(&str, usize, usize, bool)]) {
        let found = duplicates(wheels);
        let found: Vec<_> = found
            .iter()
            .map(|found| {
                let copies = found.copies.len();
                (
                    found.library.as_str(),
                    copies,
                    found.in_process(),
                    found.harm.is_some(),
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_same_file_is_loaded_once_on_glibc() {
        let library = [("libxml2.so.2", "libxml2-0a.so.2")];
        let wheels = |image| [wheel("a", image, &library), wheel("b", image, &library)];
        check(&wheels("debian-12"), &[("libxml2", 2, 1, true)]);
        check(&wheels("musllinux_1_2"), &[("libxml2", 2, 2, true)]);
        check(&[wheel("a", "debian-12", &library)], &[]);
    }

    #[test]
    fn versions_meet_under_their_common_name() {
        let a = wheel(
            "a",
            "debian-12",
            &[("libldap-2.5.so.0", "x"), ("libfoo.so.1", "y")],
        );
        let b = wheel(
            "b",
            "debian-12",
            &[("libldap-2.6.so.0", "z"), ("libfoo.so.2", "w")],
        );
        check(
            &[a.clone(), b.clone()],
            &[("libfoo", 2, 2, false), ("libldap", 2, 2, true)],
        );
        // Not in one process: other systems.
        let elsewhere = wheel("b", "debian-13", &[("libldap-2.6.so.0", "z")]);
        check(&[a, elsewhere], &[]);
        assert_eq!(stem("libssl-81ffa89e.so.3"), "libssl");
        assert_eq!(stem("libgcc_s.so.1"), "libgcc_s");
        assert_eq!(stem("libnghttp2-asio.so"), "libnghttp2-asio");
    }

    #[test]
    fn python_has_openssl_itself() {
        let wheel = wheel("a", "debian-12", &[("libssl.so.3", "libssl-1.so.3")]);
        check(&[wheel], &[("libssl", 1, 2, true)]);
    }
}
