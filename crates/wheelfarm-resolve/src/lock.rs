//! The lock file that passes from resolution to planning ([PEP 751](https://peps.python.org/pep-0751/)).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use wheelfarm_types::{
    Digest, ProjectName, PythonVersion, SdistFilename, Tag, Target, Version, WheelFilename,
    compatible_tags,
};

use crate::raw_lock::RawLock;
use crate::sources::Source;
use crate::{ResolveError, ResolveErrorKind};

/// A parsed lock: every file with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What to install, sorted by name.
    pub packages: Vec<LockedPackage>,
}

/// One package of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPackage {
    /// Project.
    pub name: ProjectName,
    /// Its version.
    pub version: Version,
    /// The source distribution.
    pub sdist: Option<LockedFile<SdistFilename>>,
    /// The wheels that the resolver found for the target.
    pub wheels: Vec<LockedFile<WheelFilename>>,
    /// For what is on no index, how its source is to be built.
    pub source: Option<SourceFacts>,
}

/// How a source that is on no index is to be built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// The project's directory inside the archive's one directory, if it is not that itself.
    pub subdirectory: Option<String>,
    /// Whether the version stands in the source. Else it is what the built wheel says, and no part of a key.
    pub version_is_stated: bool,
}

/// A file to fetch, which cannot be had without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedFile<N> {
    /// Its name.
    pub filename: N,
    /// `https:`, `http:` or `file:` address; for what is only in the store, `store:`.
    pub url: String,
    /// What its bytes must have.
    pub sha256: Digest,
}

impl Lock {
    /// Parses the `pylock.toml` of a resolver, which knew of `sources`: what is in the lock at their paths is taken
    /// from them.
    pub fn parse(text: &str, sources: &[Source]) -> Result<Self, ResolveError> {
        let raw = RawLock::parse(text)?;
        let mut packages = Vec::new();
        for package in raw.packages {
            let name = &package.name;
            if let Some(archive) = &package.archive {
                let sha256 = archive.sha256(name)?;
                let source = sources
                    .iter()
                    .find(|source| source.name == *name && source.is_resolved_by(sha256));
                if let (Some(source), Some(version)) = (source, &package.version) {
                    packages.push(source.locked(version.clone())?);
                    continue;
                }
            }
            if package.vcs.is_some() || package.directory.is_some() || package.archive.is_some() {
                return Err(ResolveError::new(
                    ResolveErrorKind::Lock,
                    format!("`{name}` is required from an address by another package"),
                )
                .hint("name the same address among the requirements: only what they name is taken from elsewhere than an index"));
            }
            let Some(version) = package.version.clone() else {
                return Err(ResolveError::new(
                    ResolveErrorKind::Lock,
                    format!("`{name}` has no version in the lock"),
                ));
            };
            let (sdist, wheels) = package.files(None)?;
            packages.push(LockedPackage {
                name: package.name,
                version,
                sdist,
                wheels,
                source: None,
            });
        }
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { packages })
    }
}

impl LockedPackage {
    /// Whether its version is known only when it is built: what it has is a guess, or was told by a build.
    pub fn version_is_untold(&self) -> bool {
        self.source
            .as_ref()
            .is_some_and(|source| !source.version_is_stated)
    }

    /// The wheel that an installer would take for `python` on `target`.
    pub fn best_wheel(
        &self,
        python: PythonVersion,
        target: Target,
    ) -> Option<&LockedFile<WheelFilename>> {
        if self.wheels.is_empty() {
            return None;
        }
        let accepted = accepted(python, target);
        self.wheels
            .iter()
            .filter_map(|wheel| {
                let rank = wheel
                    .filename
                    .tags()
                    .filter_map(|tag| accepted.get(&tag).copied())
                    .min()?;
                Some((rank, std::cmp::Reverse(&wheel.filename.build), wheel))
            })
            .min_by_key(|(rank, build, _)| (*rank, *build))
            .map(|(.., wheel)| wheel)
    }
}

/// Tags with their ranks.
type Ranks = HashMap<Tag, usize>;
/// For interpreters on targets.
type RanksByPlace = HashMap<(PythonVersion, Target), Arc<Ranks>>;

/// The rank of every tag that `python` accepts on `target`: hundreds, made once for each pair.
fn accepted(python: PythonVersion, target: Target) -> Arc<Ranks> {
    static KNOWN: LazyLock<Mutex<RanksByPlace>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let ranks = known.entry((python, target)).or_insert_with(|| {
        let mut ranks = Ranks::new();
        for (rank, tag) in compatible_tags(python, target).into_iter().enumerate() {
            ranks.entry(tag).or_insert(rank);
        }
        Arc::new(ranks)
    });
    Arc::clone(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "d36784fc2dae69523ba4b79c7d1d1b4d6e83e87836874f111262f4db940b16a6";

    fn package(body: &str) -> Result<LockedPackage, ResolveError> {
        let text = format!(
            "lock-version = \"1.0\"\ncreated-by = \"uv\"\n[[packages]]\nname = \"x\"\n{body}"
        );
        Ok(Lock::parse(&text, &[])?.packages.remove(0))
    }

    #[test]
    fn an_sdist_is_named_by_its_address() {
        let package = package(&format!(
            "version = \"1\"\nsdist = {{ url = \"https://h/p/x-1.tar.gz#frag\", hashes = {{ sha256 = \"{HASH}\" }} }}"
        ))
        .unwrap();
        let sdist = package.sdist.unwrap();
        assert_eq!(sdist.filename.to_string(), "x-1.tar.gz");
        assert_eq!(sdist.sha256.to_string(), HASH);
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        for (body, says) in [
            (
                "version = \"1\"\nsdist = { url = \"https://h/x-1.tar.gz\", hashes = { md5 = \"00\" } }",
                "no sha256",
            ),
            (
                "version = \"1\"\nsdist = { url = \"https://h/x-1.tar.gz\", hashes = { sha256 = \"00\" } }",
                "64 hexadecimal",
            ),
            (
                "version = \"1\"\nsdist = { hashes = { sha256 = \"\" } }",
                "no address",
            ),
            ("vcs = { type = \"git\" }", "from an address"),
            ("", "no version"),
        ] {
            let error = package(body).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        assert!(Lock::parse("lock-version = \"2.0\"", &[]).is_err());
        assert!(Lock::parse("]", &[]).is_err());
    }

    #[test]
    fn the_best_wheel_is_the_most_specific() {
        let wheel = |tags: &str| {
            format!("{{ url = \"https://h/x-1-{tags}.whl\", hashes = {{ sha256 = \"{HASH}\" }} }}")
        };
        let wheels = [
            "py3-none-any",
            "cp311-cp311-manylinux_2_17_x86_64",
            "cp311-cp311-manylinux_2_40_x86_64",
        ]
        .map(wheel);
        let package = package(&format!(
            "version = \"1\"\nwheels = [{}]",
            wheels.join(", ")
        ))
        .unwrap();
        let best = |python: &str| {
            let target = "manylinux_2_28_x86_64".parse().unwrap();
            let best = package.best_wheel(python.parse().unwrap(), target).unwrap();
            best.filename.platforms.join(".")
        };
        assert_eq!(best("3.11"), "manylinux_2_17_x86_64");
        assert_eq!(best("3.12"), "any");
    }
}
