//! The lock file that passes from resolution to planning ([PEP 751](https://peps.python.org/pep-0751/)).

use std::collections::BTreeMap;

use serde::Deserialize;
use wheelfarm_types::{
    Digest, ProjectName, PythonVersion, SdistFilename, Target, Version, WheelFilename,
    compatible_tags,
};

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
}

/// A file to fetch, which cannot be had without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedFile<N> {
    /// Its name.
    pub filename: N,
    /// `https:`, `http:` or `file:` address.
    pub url: String,
    /// What its bytes must have.
    pub sha256: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawLock {
    lock_version: String,
    #[serde(default)]
    packages: Vec<RawPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawPackage {
    name: ProjectName,
    version: Option<Version>,
    sdist: Option<RawFile>,
    #[serde(default)]
    wheels: Vec<RawFile>,
    vcs: Option<toml::Value>,
    directory: Option<toml::Value>,
    archive: Option<toml::Value>,
}

#[derive(Deserialize)]
struct RawFile {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    hashes: BTreeMap<String, String>,
}

impl Lock {
    /// Parses a `pylock.toml`.
    pub fn parse(text: &str) -> Result<Self, ResolveError> {
        let error = |message: String| ResolveError::new(ResolveErrorKind::Lock, message);
        let raw: RawLock = toml::from_str(text)
            .map_err(|e| error(format!("the lock is not a pylock.toml: {e}")))?;
        if raw.lock_version.split('.').next() != Some("1") {
            return Err(error(format!(
                "the lock has version {}, this program knows 1.x",
                raw.lock_version
            )));
        }
        let mut packages = Vec::new();
        for package in raw.packages {
            let name = &package.name;
            if package.vcs.is_some() || package.directory.is_some() || package.archive.is_some() {
                return Err(error(format!(
                    "`{name}` comes from a repository, directory or archive address; this version builds from an index only"
                )));
            }
            let Some(version) = package.version else {
                return Err(error(format!("`{name}` has no version in the lock")));
            };
            let sdist = package.sdist.map(|file| file.locked(name)).transpose()?;
            let mut wheels = Vec::new();
            for file in package.wheels {
                wheels.push(file.locked(name)?);
            }
            packages.push(LockedPackage {
                name: package.name,
                version,
                sdist,
                wheels,
            });
        }
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { packages })
    }
}

impl RawFile {
    fn locked<N: std::str::FromStr<Err = wheelfarm_types::FilenameError>>(
        self,
        project: &ProjectName,
    ) -> Result<LockedFile<N>, ResolveError> {
        let error = |message: String| ResolveError::new(ResolveErrorKind::Lock, message);
        let url = match (self.url, self.path) {
            (Some(url), _) => url,
            (None, Some(path)) => format!("file://{path}"),
            (None, None) => {
                return Err(error(format!(
                    "a file of `{project}` has no address in the lock"
                )));
            }
        };
        let last = url
            .split(['?', '#'])
            .next()
            .and_then(|url| url.rsplit('/').next());
        let name = self
            .name
            .as_deref()
            .or(last)
            .unwrap_or_default()
            .replace("%2B", "+");
        let filename = name.parse().map_err(|e| {
            error(format!(
                "a file of `{project}` in the lock cannot be used: {e}"
            ))
        })?;
        let Some(sha256) = self.hashes.get("sha256") else {
            return Err(error(format!("`{name}` has no sha256 in the lock")));
        };
        let sha256 = sha256
            .parse()
            .map_err(|e| error(format!("`{name}` in the lock: {e}")))?;
        Ok(LockedFile {
            filename,
            url,
            sha256,
        })
    }
}

impl LockedPackage {
    /// The wheel that an installer would take for `python` on `target`.
    pub fn best_wheel(
        &self,
        python: PythonVersion,
        target: Target,
    ) -> Option<&LockedFile<WheelFilename>> {
        let accepted = compatible_tags(python, target);
        self.wheels
            .iter()
            .filter_map(|wheel| {
                let rank = wheel
                    .filename
                    .tags()
                    .filter_map(|tag| accepted.iter().position(|accepted| *accepted == tag))
                    .min()?;
                Some((rank, std::cmp::Reverse(&wheel.filename.build), wheel))
            })
            .min_by_key(|(rank, build, _)| (*rank, *build))
            .map(|(.., wheel)| wheel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "d36784fc2dae69523ba4b79c7d1d1b4d6e83e87836874f111262f4db940b16a6";

    fn package(body: &str) -> Result<LockedPackage, ResolveError> {
        let text = format!(
            "lock-version = \"1.0\"\ncreated-by = \"uv\"\n[[packages]]\nname = \"x\"\n{body}"
        );
        Ok(Lock::parse(&text)?.packages.remove(0))
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
            ("version = \"1\"\nsdist = { hashes = {} }", "no address"),
            ("vcs = { type = \"git\" }", "repository"),
            ("", "no version"),
        ] {
            let error = package(body).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        assert!(Lock::parse("lock-version = \"2.0\"").is_err());
        assert!(Lock::parse("]").is_err());
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
