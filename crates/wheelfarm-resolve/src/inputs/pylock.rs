//! Locks that a user brings ([PEP 751](https://peps.python.org/pep-0751/)): no resolver is asked, markers choose.

use std::collections::BTreeSet;
use std::path::Path;

use wheelfarm_types::{
    Marker, MarkerEnvironment, ProjectName, PythonVersion, SdistFilename, Target, Version,
    WheelFilename,
};

use super::wish::{Place, SourceWish, inner_path};
use super::{Choice, RequiresPython};
use crate::raw_lock::{RawLock, RawPackage, lock_error};
use crate::sources::Source;
use crate::{LockedFile, LockedPackage, ResolveError};

/// A lock for several Pythons and platforms, and what is wanted of it.
#[derive(Debug, Clone, PartialEq)]
pub struct InputLock {
    file: String,
    requires_python: Option<RequiresPython>,
    environments: Vec<Marker>,
    extras: BTreeSet<String>,
    groups: BTreeSet<String>,
    /// Its packages, for whatever environment.
    pub packages: Vec<InputPackage>,
}

/// A package of such a lock.
#[derive(Debug, Clone, PartialEq)]
pub struct InputPackage {
    /// Project.
    pub name: ProjectName,
    /// Version; none if it comes from a source that need not have one yet.
    pub version: Option<Version>,
    marker: Option<Marker>,
    requires_python: Option<RequiresPython>,
    sdist: Option<LockedFile<SdistFilename>>,
    wheels: Vec<LockedFile<WheelFilename>>,
    /// For what is on no index: where it is.
    pub wish: Option<SourceWish>,
    /// The same, once it is in the store.
    pub source: Option<Source>,
}

impl InputLock {
    /// Parses `text`, which was read from `path`: paths in it are relative to that.
    pub fn parse(text: &str, path: &Path, choice: &Choice) -> Result<Self, ResolveError> {
        let file = path.display().to_string();
        let within = |error: ResolveError| error.within(&format!("`{file}`"));
        let raw = RawLock::parse(text).map_err(within)?;
        for extra in &choice.extras {
            if !raw.extras.contains(extra) {
                return Err(within(unknown("extra", extra, &raw.extras)));
            }
        }
        for group in &choice.groups {
            if !raw.dependency_groups.contains(group) {
                let known = &raw.dependency_groups;
                return Err(within(unknown("dependency group", group, known)));
            }
        }
        let extras = if choice.all_extras {
            &raw.extras
        } else {
            &choice.extras
        };
        let groups = raw.default_groups.iter().chain(&choice.groups);
        let base = path.parent().unwrap_or(Path::new(""));
        let packages = raw.packages.iter().map(|package| {
            InputPackage::read(package, base, &file)
                .map_err(|error| error.within(&format!("`{file}`")))
        });
        Ok(Self {
            environments: raw
                .environments
                .iter()
                .map(|marker| {
                    marker
                        .parse()
                        .map_err(|e| within(lock_error(format!("{e}"))))
                })
                .collect::<Result<_, _>>()?,
            requires_python: raw
                .requires_python
                .as_ref()
                .map(|specifiers| RequiresPython {
                    file: file.clone(),
                    specifiers: specifiers.clone(),
                }),
            extras: extras.iter().map(ToString::to_string).collect(),
            groups: groups.map(ToString::to_string).collect(),
            packages: packages.collect::<Result<_, _>>()?,
            file,
        })
    }

    /// The packages for `python` on `target`: those whose markers hold. One for each project, sorted by name.
    pub fn for_cell(
        &self,
        python: PythonVersion,
        target: Target,
    ) -> Result<Vec<&InputPackage>, ResolveError> {
        let file = &self.file;
        let environment = MarkerEnvironment {
            python,
            target,
            extras: self.extras.clone(),
            groups: self.groups.clone(),
        };
        if let Some(requires_python) = &self.requires_python {
            requires_python.check(python)?;
        }
        if !self.environments.is_empty()
            && !self
                .environments
                .iter()
                .any(|marker| marker.holds(&environment))
        {
            let environments: Vec<_> = self.environments.iter().map(ToString::to_string).collect();
            return Err(lock_error(format!(
                "`{file}` is not for Python {python} on {target}, but for {}",
                environments.join(", or ")
            )));
        }
        let mut packages: Vec<_> = self
            .packages
            .iter()
            .filter(|package| {
                package
                    .marker
                    .as_ref()
                    .is_none_or(|marker| marker.holds(&environment))
            })
            .collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        for package in &packages {
            if let Some(requires_python) = &package.requires_python {
                requires_python.check(python)?;
            }
        }
        let mut names = packages.iter().map(|package| &package.name);
        let mut before = names.next();
        for name in names {
            if before.replace(name) == Some(name) {
                return Err(lock_error(format!(
                    "`{file}` has `{name}` more than once for Python {python} on {target}"
                )));
            }
        }
        Ok(packages)
    }
}

fn unknown(what: &str, name: &ProjectName, known: &[ProjectName]) -> ResolveError {
    let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    let error = lock_error(format!("there is no {what} `{name}`"));
    if known.is_empty() {
        error.hint(format!(
            "it has no {what}s: they were chosen when the lock was written"
        ))
    } else {
        error.hint(format!("it has {}", known.join(", ")))
    }
}

impl InputPackage {
    fn read(package: &RawPackage, base: &Path, file: &str) -> Result<Self, ResolveError> {
        let name = &package.name;
        let (sdist, wheels) = package.files(Some(base))?;
        let wish = wish(package, base)?;
        if wish.is_none() && package.version.is_none() {
            return Err(lock_error(format!("`{name}` has no version in the lock")));
        }
        let marker = package.marker.as_ref();
        Ok(Self {
            name: name.clone(),
            version: package.version.clone(),
            marker: marker
                .map(|marker| {
                    marker
                        .parse()
                        .map_err(|e| lock_error(format!("`{name}`: {e}")))
                })
                .transpose()?,
            requires_python: package
                .requires_python
                .as_ref()
                .map(|specifiers| RequiresPython {
                    file: format!("{name} in {file}"),
                    specifiers: specifiers.clone(),
                }),
            sdist,
            wheels,
            wish,
            source: None,
        })
    }

    /// The package as it is planned, with the `version` it has or was found to have.
    pub fn locked(&self, version: Version) -> Result<LockedPackage, ResolveError> {
        if let Some(source) = &self.source {
            return source.locked(version);
        }
        Ok(LockedPackage {
            name: self.name.clone(),
            version,
            sdist: self.sdist.clone(),
            wheels: self.wheels.clone(),
            source: None,
        })
    }
}

/// Where a package is that is on no index.
fn wish(package: &RawPackage, base: &Path) -> Result<Option<SourceWish>, ResolveError> {
    let name = &package.name;
    let inner = |subdirectory: &Option<String>| {
        let path = subdirectory.as_deref().filter(|path| *path != ".");
        path.map(inner_path).transpose()
    };
    let mut hashes = BTreeSet::new();
    let place = if let Some(repository) = &package.vcs {
        if repository.kind != "git" {
            return Err(lock_error(format!(
                "`{name}` comes from a repository of `{}`: only Git's are read",
                repository.kind
            )));
        }
        let Some(commit) = &repository.commit_id else {
            return Err(lock_error(format!(
                "`{name}` comes from a repository at no commit"
            )));
        };
        let url = match (&repository.url, &repository.path) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => crate::raw_lock::file_url(&base.join(path))?,
            (None, None) => {
                return Err(lock_error(format!(
                    "the repository of `{name}` has no address"
                )));
            }
        };
        Place::Git {
            repository: url.strip_prefix("git+").unwrap_or(&url).to_owned(),
            reference: Some(commit.clone()),
            subdirectory: inner(&repository.subdirectory)?,
        }
    } else if let Some(directory) = &package.directory {
        Place::Path {
            path: base.join(&directory.path),
            subdirectory: inner(&directory.subdirectory)?,
        }
    } else if let Some(archive) = &package.archive {
        hashes.insert(archive.sha256(name)?);
        let subdirectory = inner(&archive.subdirectory)?;
        match (&archive.url, &archive.path) {
            (Some(url), _) => Place::Address {
                url: url.clone(),
                subdirectory,
            },
            (None, Some(path)) => Place::Path {
                path: base.join(path),
                subdirectory,
            },
            (None, None) => {
                return Err(lock_error(format!(
                    "the archive of `{name}` has no address"
                )));
            }
        }
    } else {
        return Ok(None);
    };
    Ok(Some(SourceWish {
        name: Some(name.clone()),
        extras: Vec::new(),
        marker: None,
        place,
        hashes,
    }))
}
