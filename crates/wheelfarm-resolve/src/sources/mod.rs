//! Sources that are on no index: brought to the store, and named by what they hold.

mod address;
mod bring;
mod directory;
mod facts;
mod git;
mod pack;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wheelfarm_types::{Digest, ProjectName, SdistFilename, Version, WheelFilename};

pub use bring::Bring;
pub(crate) use git::without_credentials;

use crate::lock::SourceFacts;
use crate::sdist::top_files;
use crate::{LockedFile, LockedPackage, ResolveError};

/// A source in the store. What is serialized is content: it stands in the key of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Project.
    pub name: ProjectName,
    /// Extras that are wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extras: Vec<String>,
    /// The condition under which it is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// Its file.
    pub file: SourceFile,
    /// The project's directory inside the archive's one directory, if it is not that itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdirectory: Option<String>,
    /// Where it came from, for reports.
    #[serde(skip)]
    pub origin: SourceOrigin,
}

/// The file of a [`Source`], by name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceFile {
    /// A source distribution, or an archive made of a directory or repository.
    Sdist {
        /// `name-version.tar.gz`, or `name.tar.gz` if the version is known only when it is built.
        #[serde(serialize_with = "as_text")]
        filename: SdistFilename,
        /// Its bytes.
        sha256: Digest,
        /// The version that stands in it.
        version: Option<Version>,
    },
    /// A wheel.
    Wheel {
        /// Its name.
        filename: WheelFilename,
        /// Its bytes.
        sha256: Digest,
    },
}

/// Where a source came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceOrigin {
    /// Path or address, without credentials.
    pub place: String,
    /// The commit, for what is in a Git repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The tag or branch that it was found by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// For a directory in a Git repository: whether it holds what no commit does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unclean: Option<bool>,
    /// How many files are only pointers to content in Git LFS, which is not fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lfs_pointers: Option<usize>,
}

fn as_text<S: serde::Serializer>(name: &SdistFilename, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

impl Source {
    /// Its bytes.
    pub fn sha256(&self) -> Digest {
        match &self.file {
            SourceFile::Sdist { sha256, .. } | SourceFile::Wheel { sha256, .. } => *sha256,
        }
    }

    /// Its version, if that stands in it.
    pub fn version(&self) -> Option<Version> {
        match &self.file {
            SourceFile::Sdist { version, .. } => version.clone(),
            SourceFile::Wheel { filename, .. } => filename.parsed_version().ok(),
        }
    }

    /// What the resolver gets of it, `bytes` being all of it: where the project is not at the top, which uv does not
    /// take of local files, an archive of the files that say what it is.
    pub(crate) fn for_resolver(&self, bytes: Bytes) -> Result<Bytes, ResolveError> {
        let Some(subdirectory) = &self.subdirectory else {
            return Ok(bytes);
        };
        let is_zip = bytes.starts_with(b"PK");
        let files = top_files(is_zip, &bytes, Some(subdirectory), &facts::NAMES)?;
        let mut tree = pack::Tree::default();
        for (name, text) in files {
            tree.add_text(&name, text);
        }
        Ok(tree.pack(self.name.as_str())?.into())
    }

    /// Whether a file with `sha256`, which was resolved, is this source.
    pub(crate) fn is_resolved_by(&self, sha256: Digest) -> bool {
        self.subdirectory.is_some() || self.sha256() == sha256
    }

    /// The name of its file.
    pub(crate) fn filename(&self) -> String {
        match &self.file {
            SourceFile::Sdist { filename, .. } => filename.to_string(),
            SourceFile::Wheel { filename, .. } => filename.to_string(),
        }
    }

    /// The package as it is planned, with the `version` it has or was found to have.
    pub fn locked(&self, version: Version) -> Result<LockedPackage, ResolveError> {
        let url = format!("store:{}", self.sha256());
        let mut package = LockedPackage {
            name: self.name.clone(),
            version,
            sdist: None,
            wheels: Vec::new(),
            source: Some(SourceFacts {
                subdirectory: self.subdirectory.clone(),
                version_is_stated: self.version().is_some(),
            }),
        };
        match &self.file {
            SourceFile::Sdist {
                filename, sha256, ..
            } => {
                package.sdist = Some(LockedFile {
                    filename: filename.clone(),
                    url,
                    sha256: *sha256,
                });
            }
            SourceFile::Wheel { filename, sha256 } => package.wheels.push(LockedFile {
                filename: filename.clone(),
                url,
                sha256: *sha256,
            }),
        }
        Ok(package)
    }
}

impl std::fmt::Display for SourceOrigin {
    /// One line: place, commit, and what a reader of a report should know.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place)?;
        if let Some(commit) = &self.commit {
            let short: String = commit.chars().take(12).collect();
            write!(f, " at {short}")?;
        }
        if let Some(reference) = &self.reference {
            write!(f, " ({reference})")?;
        }
        if self.unclean == Some(true) {
            f.write_str(", with changes that no commit holds")?;
        }
        if let Some(pointers) = self.lfs_pointers {
            write!(f, ", {pointers} files without their content in Git LFS")?;
        }
        Ok(())
    }
}
