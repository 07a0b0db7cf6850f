//! What there is where wheels are to run: its Pythons and C libraries, found in a [`LibraryRoot`] without running anything.

mod libc;
mod python;
mod wheel;

use std::collections::BTreeMap;

use wheelfarm_types::{Arch, Libc, PythonVersion};

use crate::{AuditError, LibcFamily, LibraryRoot, Policies};

pub use wheel::{Needed, Problem, problems};

/// A system that wheels are to run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Its C library, if it has one that can be told: that of its Pythons, else glibc before musl.
    pub libc: Option<Libc>,
    /// Its Pythons, by path.
    pub pythons: Vec<FoundPython>,
}

/// An interpreter, links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPython {
    /// Where it is.
    pub path: String,
    /// Its version and ABI.
    pub version: PythonVersion,
    /// The architecture of its code.
    pub arch: Option<Arch>,
    /// The C library that its loader is part of; none if it is static, or that library is not there.
    pub libc: Option<Libc>,
}

impl System {
    /// Looks at `root`, whose programs may be interpreters if they are `candidates`; `arch` says which code counts where
    /// there is no Python. What is no Python for sure is left out.
    pub fn look(
        root: &LibraryRoot,
        candidates: &[String],
        arch: Option<Arch>,
    ) -> Result<Self, AuditError> {
        let policies = Policies::builtin()?;
        let mut pythons = BTreeMap::new();
        for path in candidates {
            if let Some(real) = root.resolve(path)
                && !pythons.contains_key(&real)
                && let Some(python) = python::look(root, path, &real, policies)?
            {
                pythons.insert(real, python);
            }
        }
        let pythons: Vec<_> = pythons.into_values().collect();
        let mut found = pythons.iter().find_map(|python| python.libc);
        for family in [LibcFamily::Glibc, LibcFamily::Musl] {
            if found.is_none() {
                found = libc::of(root, family, arch, None, policies)?;
            }
        }
        Ok(Self {
            libc: found,
            pythons,
        })
    }

    /// The interpreter for wheels of `version`; of several, one whose C library is of `family`.
    pub fn python(&self, version: PythonVersion, family: LibcFamily) -> Option<&FoundPython> {
        let fits = || {
            self.pythons
                .iter()
                .filter(move |python| python.version == version)
        };
        let same = fits().find(|python| python.libc.map(LibcFamily::of) == Some(family));
        same.or_else(|| fits().next())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
