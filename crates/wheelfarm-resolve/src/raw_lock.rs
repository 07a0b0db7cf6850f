//! A `pylock.toml` as it stands in the file ([PEP 751](https://peps.python.org/pep-0751/)), before anything is chosen.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Url;
use serde::Deserialize;
use wheelfarm_types::{Digest, FilenameError, ProjectName, SdistFilename, Version, WheelFilename};

use crate::inputs::percent_decoded;
use crate::{LockedFile, ResolveError, ResolveErrorKind};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RawLock {
    lock_version: String,
    #[serde(default)]
    pub(crate) environments: Vec<String>,
    pub(crate) requires_python: Option<String>,
    #[serde(default)]
    pub(crate) extras: Vec<ProjectName>,
    #[serde(default)]
    pub(crate) dependency_groups: Vec<ProjectName>,
    #[serde(default)]
    pub(crate) default_groups: Vec<ProjectName>,
    #[serde(default)]
    pub(crate) packages: Vec<RawPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RawPackage {
    pub(crate) name: ProjectName,
    pub(crate) version: Option<Version>,
    pub(crate) marker: Option<String>,
    pub(crate) requires_python: Option<String>,
    sdist: Option<RawFile>,
    #[serde(default)]
    wheels: Vec<RawFile>,
    pub(crate) vcs: Option<RawRepository>,
    pub(crate) directory: Option<RawDirectory>,
    pub(crate) archive: Option<RawArchive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RawRepository {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) url: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) commit_id: Option<String>,
    pub(crate) subdirectory: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct RawDirectory {
    pub(crate) path: String,
    pub(crate) subdirectory: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct RawArchive {
    pub(crate) url: Option<String>,
    pub(crate) path: Option<String>,
    hashes: BTreeMap<String, String>,
    pub(crate) subdirectory: Option<String>,
}

#[derive(Deserialize)]
struct RawFile {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    hashes: BTreeMap<String, String>,
}

pub(crate) fn lock_error(message: impl Into<String>) -> ResolveError {
    ResolveError::new(ResolveErrorKind::Lock, message)
}

impl RawLock {
    pub(crate) fn parse(text: &str) -> Result<Self, ResolveError> {
        let raw: Self = toml::from_str(text)
            .map_err(|e| lock_error(format!("the lock is not a pylock.toml: {e}")))?;
        if raw.lock_version.split('.').next() == Some("1") {
            Ok(raw)
        } else {
            Err(lock_error(format!(
                "the lock has version {}, this program knows 1.x",
                raw.lock_version
            )))
        }
    }
}

/// A source distribution, and wheels.
pub(crate) type Files = (
    Option<LockedFile<SdistFilename>>,
    Vec<LockedFile<WheelFilename>>,
);

impl RawPackage {
    /// Its files on an index or in a directory; paths are relative to `base`.
    pub(crate) fn files(&self, base: Option<&Path>) -> Result<Files, ResolveError> {
        let sdist = self.sdist.as_ref();
        let sdist = sdist
            .map(|file| file.locked(&self.name, base))
            .transpose()?;
        let wheels = self.wheels.iter().map(|file| file.locked(&self.name, base));
        Ok((sdist, wheels.collect::<Result<_, _>>()?))
    }
}

impl RawArchive {
    pub(crate) fn sha256(&self, project: &ProjectName) -> Result<Digest, ResolveError> {
        sha256(&self.hashes, project.as_str())
    }
}

fn sha256(hashes: &BTreeMap<String, String>, file: &str) -> Result<Digest, ResolveError> {
    let sha256 = hashes
        .get("sha256")
        .ok_or_else(|| lock_error(format!("`{file}` has no sha256 in the lock")))?;
    sha256
        .parse()
        .map_err(|e| lock_error(format!("`{file}` in the lock: {e}")))
}

impl RawFile {
    fn locked<N: std::str::FromStr<Err = FilenameError>>(
        &self,
        project: &ProjectName,
        base: Option<&Path>,
    ) -> Result<LockedFile<N>, ResolveError> {
        let url = match (&self.url, &self.path) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => file_url(&base.unwrap_or(Path::new("")).join(path))?,
            (None, None) => {
                return Err(lock_error(format!(
                    "a file of `{project}` has no address in the lock"
                )));
            }
        };
        let last = url
            .split(['?', '#'])
            .next()
            .and_then(|url| url.rsplit('/').next())
            .unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(|| percent_decoded(last));
        let filename = name.parse().map_err(|e| {
            lock_error(format!(
                "a file of `{project}` in the lock cannot be used: {e}"
            ))
        })?;
        Ok(LockedFile {
            filename,
            url,
            sha256: sha256(&self.hashes, &name)?,
        })
    }
}

/// The address of the file at `path`.
pub(crate) fn file_url(path: &Path) -> Result<String, ResolveError> {
    let path = std::path::absolute(path)?;
    Url::from_file_path(&path)
        .map(String::from)
        .map_err(|()| lock_error(format!("`{}` is no path of a file", path.display())))
}
