//! Hashes that a requirements file states, enforced on what the resolver chose.

use std::collections::{BTreeMap, BTreeSet};

use wheelfarm_types::{Digest, ProjectName};

use super::lines::input_error;
use crate::{Lock, ResolveError, ResolveErrorKind};

/// Which files may be used ([pip's hash-checking mode](https://pip.pypa.io/en/stable/topics/secure-installs/)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hashes {
    /// `--require-hashes`: everything must have one. So it must if anything has.
    pub required: bool,
    allowed: BTreeMap<ProjectName, BTreeSet<Digest>>,
}

impl Hashes {
    /// Allows `project` the files with `digests`.
    pub fn allow(&mut self, project: &ProjectName, digests: impl IntoIterator<Item = Digest>) {
        let mut digests = digests.into_iter().peekable();
        if digests.peek().is_some() {
            let allowed = self.allowed.entry(project.clone()).or_default();
            allowed.extend(digests);
        }
    }

    /// The files that are allowed, by project.
    pub fn allowed(&self) -> &BTreeMap<ProjectName, BTreeSet<Digest>> {
        &self.allowed
    }

    /// Whether files without a stated hash are refused.
    pub fn are_required(&self) -> bool {
        self.required || !self.allowed.is_empty()
    }

    /// Takes files out of `lock` that have another hash.
    ///
    /// In hash-checking mode it is an error if a package of the lock has no hash stated, or none of its files has
    /// one that is.
    pub fn enforce(&self, lock: &mut Lock) -> Result<(), ResolveError> {
        if !self.are_required() {
            return Ok(());
        }
        for package in &mut lock.packages {
            let (name, version) = (&package.name, &package.version);
            let Some(allowed) = self.allowed.get(name) else {
                return Err(input_error(format!(
                    "hashes are required, and `{name}=={version}` has none in the requirements"
                ))
                .hint(
                    "with a hash for one package, all need them, those that others require too: \
                     `uv pip compile --generate-hashes` and `pip-compile --generate-hashes` write such files",
                ));
            };
            let found = package.sdist.iter().map(|file| file.filename.to_string());
            let found: Vec<_> = found
                .chain(package.wheels.iter().map(|file| file.filename.to_string()))
                .collect();
            package.wheels.retain(|file| allowed.contains(&file.sha256));
            package.sdist = package
                .sdist
                .take()
                .filter(|file| allowed.contains(&file.sha256));
            if package.sdist.is_none() && package.wheels.is_empty() {
                return Err(ResolveError::new(
                    ResolveErrorKind::HashMismatch,
                    format!(
                        "no file of `{name}=={version}` has a hash that the requirements state: looked at {}",
                        found.join(", ")
                    ),
                )
                .hint("if the files were not tampered with, the hashes are of another version or platform: update them, and pin with `==`"));
            }
        }
        Ok(())
    }
}
