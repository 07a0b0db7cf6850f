//! Everything that is wanted of every cell of a matrix.

use wheelfarm_types::{PythonVersion, Requirement, Target};

use crate::inputs::{Formats, Hashes, InputLock, RequiresPython};
use crate::sources::Source;
use crate::{CompileOptions, CompileRequest, Lock, ResolveError};

/// What is wanted, whatever the Python and target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Projects to be found on an index.
    pub requirements: Vec<Requirement>,
    /// What else must hold of versions that are chosen.
    pub constraints: Vec<Requirement>,
    /// Sources that are on no index.
    pub sources: Vec<Source>,
    /// Locks that are taken as they are.
    pub locks: Vec<InputLock>,
    /// Which Pythons it is for.
    pub pythons: Vec<RequiresPython>,
    /// Which files may be used.
    pub hashes: Hashes,
    /// What is always or never built.
    pub formats: Formats,
    /// Whether versions that are not final are taken.
    pub prereleases: bool,
    /// Leave out what the requirements themselves require.
    pub no_dependencies: bool,
}

impl Wanted {
    /// What the resolver is asked for `python` on `target`.
    pub fn request(&self, python: PythonVersion, target: Target) -> CompileRequest {
        CompileRequest {
            requirements: self.requirements.clone(),
            constraints: self.constraints.clone(),
            python,
            target,
            only_wheels: false,
            no_dependencies: self.no_dependencies,
            options: CompileOptions {
                only_binary: self.formats.only_binary_for_uv(),
                not_only_binary: self.formats.not_only_binary_for_uv(),
                prereleases: self.prereleases,
                sources: self.sources.clone(),
            },
        }
    }

    /// Takes files out of a resolved `lock` that may not be used; an error if what is left of it will not do.
    pub fn restrict(&self, lock: &mut Lock) -> Result<(), ResolveError> {
        self.hashes.enforce(lock)?;
        self.formats.apply(lock);
        Ok(())
    }

    /// An error if it is not for `python`.
    pub fn check(&self, python: PythonVersion) -> Result<(), ResolveError> {
        self.pythons
            .iter()
            .try_for_each(|wanted| wanted.check(python))
    }

    /// Its sources, those of locks too.
    pub fn all_sources(&self) -> impl Iterator<Item = &Source> {
        let packages = self.locks.iter().flat_map(|lock| &lock.packages);
        let locked = packages.filter_map(|package| package.source.as_ref());
        self.sources.iter().chain(locked)
    }

    /// Whether a resolver has to be asked for anything.
    pub fn has_requirements(&self) -> bool {
        !(self.requirements.is_empty() && self.sources.is_empty())
    }
}
