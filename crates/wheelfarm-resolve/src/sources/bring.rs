//! Bringing what a user named to the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wheelfarm_store::Store;
use wheelfarm_types::{Digest, ProjectName, SdistFilename, WheelFilename};

use super::facts::{self, Facts, NAMES};
use super::git::{Git, is_commit, without_credentials};
use super::pack::Tree;
use super::{Source, SourceFile, SourceOrigin, address, directory};
use crate::fetch::SOURCE_LIMIT;
use crate::inputs::{ARCHIVES, InputLock, Inputs, Place, SourceWish, input_error};
use crate::sdist::top_files;
use crate::{Fetcher, ResolveError, ResolveErrorKind, Resolver, Wanted};

/// Rises when the same commit gives another archive.
const TREE_SCHEMA: u32 = 1;

/// Brings sources to a store.
#[derive(Debug, Clone, Copy)]
pub struct Bring<'a> {
    /// Where they are kept.
    pub store: &'a Store,
    /// Downloads archives.
    pub fetcher: &'a Fetcher,
    /// Reads `uv.lock` files.
    pub resolver: &'a Resolver,
    /// Directories that are never part of a source, by absolute path: where wheels are written to.
    pub exclude: &'a [PathBuf],
    /// What branches and addresses were before, in seconds since 1970, is asked again.
    pub not_before: u64,
    /// Now.
    pub now: u64,
}

/// What a branch or tag was; the series' number is the time.
#[derive(Serialize, Deserialize)]
struct ReferenceRecord {
    commit: String,
}

/// The archive of a commit.
#[derive(Serialize, Deserialize)]
struct TreeRecord {
    archive: Digest,
    lfs_pointers: usize,
}

#[derive(Serialize)]
struct TreeKey<'a> {
    schema: u32,
    repository: &'a str,
    commit: &'a str,
    subdirectory: Option<&'a str>,
}

/// What was found at a place.
struct Found {
    /// The archive, or wheel.
    sha256: Digest,
    /// The file's own name, if it had one.
    filename: Option<String>,
    origin: SourceOrigin,
}

impl Bring<'_> {
    /// Everything that `inputs` ask for, with all their sources in the store. `no_dependencies` leaves out what the
    /// requirements themselves require.
    pub async fn inputs(
        &self,
        inputs: &Inputs,
        no_dependencies: bool,
    ) -> Result<Wanted, ResolveError> {
        let mut sources: Vec<Source> = Vec::new();
        for wish in &inputs.sources {
            if inputs.hashes.are_required() && wish.hashes.is_empty() {
                let shown = wish.place.shown();
                return Err(input_error(format!("hashes are required, and `{shown}` has none"))
                    .hint("an archive's hash goes behind it, as in `x.tar.gz --hash=sha256:...`; directories and repositories have none"));
            }
            let source = self.wish(wish).await?;
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        let mut locks = inputs.locks.clone();
        for path in &inputs.uv_locks {
            let text = self.resolver.export(path, &inputs.choice).await?;
            locks.push(InputLock::parse(
                &text,
                path,
                &crate::inputs::Choice::default(),
            )?);
        }
        for lock in &mut locks {
            for package in &mut lock.packages {
                if let Some(wish) = &package.wish {
                    package.source = Some(self.wish(wish).await?);
                }
            }
        }
        let mut hashes = inputs.hashes.clone();
        if hashes.are_required() {
            for source in &sources {
                hashes.allow(&source.name, [source.sha256()]);
            }
        }
        Ok(Wanted {
            requirements: inputs.requirements.clone(),
            constraints: inputs.constraints.clone(),
            sources,
            locks,
            pythons: inputs.pythons.clone(),
            hashes,
            formats: inputs.formats.clone(),
            prereleases: inputs.prereleases,
            no_dependencies,
        })
    }

    /// The source that `wish` names.
    pub async fn wish(&self, wish: &SourceWish) -> Result<Source, ResolveError> {
        let (found, subdirectory) = match &wish.place {
            Place::Path { path, subdirectory } => {
                let shown = path.display();
                let metadata = fs_err::metadata(path)
                    .map_err(|e| input_error(format!("the source could not be read: {e}")))?;
                let found = if metadata.is_dir() {
                    let top = subdirectory.as_ref().map(Path::new);
                    self.directory(path, top).await?
                } else {
                    let bytes = Bytes::from(fs_err::read(path)?);
                    let sha256 = Digest::of(&bytes);
                    if !wish.hashes.is_empty() && !wish.hashes.contains(&sha256) {
                        return Err(ResolveError::new(
                            ResolveErrorKind::HashMismatch,
                            format!(
                                "`{shown}` has the sha256 {sha256}, which is not the one that is asked for"
                            ),
                        ));
                    }
                    Found {
                        sha256: self.store.put(bytes).await?,
                        filename: path
                            .file_name()
                            .map(|name| name.to_string_lossy().into_owned()),
                        origin: SourceOrigin {
                            place: shown.to_string(),
                            ..SourceOrigin::default()
                        },
                    }
                };
                (found, subdirectory)
            }
            Place::Address { url, subdirectory } => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let found = Found {
                    sha256: address::fetch(self, url, &wish.hashes).await?,
                    filename: path.rsplit('/').next().map(crate::inputs::percent_decoded),
                    origin: SourceOrigin {
                        place: without_credentials(url),
                        ..SourceOrigin::default()
                    },
                };
                (found, subdirectory)
            }
            Place::Git {
                repository,
                reference,
                subdirectory,
            } => {
                let inner = subdirectory.as_deref();
                let found = self
                    .repository(repository, reference.as_deref(), inner)
                    .await?;
                (found, subdirectory)
            }
        };
        self.source(wish, found, subdirectory.clone()).await
    }

    async fn directory(
        &self,
        path: &Path,
        subdirectory: Option<&Path>,
    ) -> Result<Found, ResolveError> {
        let git = Git::new("file");
        let mut tree = directory::files(path, self.exclude, &git).await?;
        let state = git
            .state(path, &directory::left_out(path, self.exclude))
            .await;
        if state.is_some() && facts_of(&tree, subdirectory).version.is_none() {
            tree.add_text(".git_archival.txt", git.archival(path, false).await?);
        }
        let place = path.display().to_string();
        let lfs = Some(tree.lfs_pointers()).filter(|count| *count > 0);
        let archive = tree.pack(&place)?;
        Ok(Found {
            sha256: self.store.put(archive.into()).await?,
            filename: None,
            origin: SourceOrigin {
                place,
                commit: state.as_ref().map(|state| state.commit.clone()),
                unclean: state.map(|state| state.unclean),
                lfs_pointers: lfs,
                ..SourceOrigin::default()
            },
        })
    }

    async fn repository(
        &self,
        repository: &str,
        reference: Option<&str>,
        subdirectory: Option<&str>,
    ) -> Result<Found, ResolveError> {
        let shown = without_credentials(repository);
        let git = Git::new(
            repository
                .split_once("://")
                .map_or("https", |(scheme, _)| scheme),
        );
        let commit = match reference.filter(|reference| is_commit(reference)) {
            Some(commit) => commit.to_ascii_lowercase(),
            None => self.commit(&git, repository, reference).await?,
        };
        let key = TreeKey {
            schema: TREE_SCHEMA,
            repository: &shown,
            commit: &commit,
            subdirectory,
        };
        let key = Digest::of(serde_json::to_vec(&key).unwrap_or_default());
        let known = self.store.record::<TreeRecord>("source-tree", &key).await?;
        let record = match known {
            Some(record) if self.store.contains(&record.archive).await? => record,
            _ => {
                let copy = tempfile::tempdir()?;
                git.check_out(repository, &commit, copy.path()).await?;
                let mut tree = directory::all_files(copy.path())?;
                if facts_of(&tree, subdirectory.map(Path::new))
                    .version
                    .is_none()
                {
                    tree.add_text(".git_archival.txt", git.archival(copy.path(), true).await?);
                }
                let record = TreeRecord {
                    lfs_pointers: tree.lfs_pointers(),
                    archive: self.store.put(tree.pack(&shown)?.into()).await?,
                };
                self.store
                    .create_record("source-tree", &key, &record)
                    .await?;
                record
            }
        };
        Ok(Found {
            sha256: record.archive,
            filename: None,
            origin: SourceOrigin {
                place: format!("git+{shown}"),
                reference: reference
                    .filter(|reference| !is_commit(reference))
                    .map(str::to_owned),
                commit: Some(commit),
                unclean: None,
                lfs_pointers: Some(record.lfs_pointers).filter(|count| *count > 0),
            },
        })
    }

    /// What a branch, a tag or the head of a repository is: asked again after a while, as versions of an index are.
    async fn commit(
        &self,
        git: &Git,
        repository: &str,
        reference: Option<&str>,
    ) -> Result<String, ResolveError> {
        let shown = without_credentials(repository);
        let key = Digest::of(format!("{shown}\n{}", reference.unwrap_or("HEAD")));
        let known = self
            .store
            .latest::<ReferenceRecord>("git-reference", &key)
            .await?;
        if let Some((time, record)) = known
            && time >= self.not_before
        {
            return Ok(record.commit);
        }
        let commit = git.commit_of(repository, reference).await?;
        let record = ReferenceRecord {
            commit: commit.clone(),
        };
        self.store
            .append("git-reference", &key, self.now, &record)
            .await?;
        Ok(commit)
    }

    /// Names what was found by what it holds.
    async fn source(
        &self,
        wish: &SourceWish,
        found: Found,
        subdirectory: Option<String>,
    ) -> Result<Source, ResolveError> {
        let shown = found.origin.place.clone();
        let file_name = found.filename.clone().unwrap_or_default();
        let (name, file) = if Path::new(&file_name)
            .extension()
            .is_some_and(|it| it == "whl")
        {
            let filename: WheelFilename =
                file_name.parse().map_err(|e| input_error(format!("{e}")))?;
            let name = filename
                .project()
                .map_err(|e| input_error(format!("{e}")))?;
            let sha256 = found.sha256;
            (name, SourceFile::Wheel { filename, sha256 })
        } else {
            let bytes = self.store.get_up_to(&found.sha256, SOURCE_LIMIT).await?;
            Self::sdist(wish, &found, &bytes, subdirectory.as_deref())?
        };
        if let Some(wanted) = &wish.name
            && *wanted != name
        {
            return Err(input_error(format!(
                "`{shown}` holds the project `{name}`, not `{wanted}`"
            )));
        }
        Ok(Source {
            name,
            extras: wish.extras.clone(),
            marker: wish.marker.clone(),
            file,
            subdirectory,
            origin: found.origin,
        })
    }

    fn sdist(
        wish: &SourceWish,
        found: &Found,
        bytes: &[u8],
        subdirectory: Option<&str>,
    ) -> Result<(ProjectName, SourceFile), ResolveError> {
        let shown = &found.origin.place;
        let file_name = found.filename.as_deref().unwrap_or_default();
        let is_zip = bytes.starts_with(b"PK");
        let files = top_files(is_zip, bytes, subdirectory, &NAMES).map_err(|e| {
            ResolveError::new(
                ResolveErrorKind::Source,
                format!("`{shown}` is not a readable source distribution: {e}"),
            )
        })?;
        let is_project = ["pyproject.toml", "setup.py"]
            .iter()
            .any(|name| files.contains_key(*name));
        if !is_project {
            let within = subdirectory
                .map(|inner| format!(" in `{inner}`"))
                .unwrap_or_default();
            return Err(ResolveError::new(
                ResolveErrorKind::Source,
                format!(
                    "`{shown}` is no Python project: there is neither pyproject.toml nor setup.py{within}"
                ),
            ));
        }
        let mut facts = facts::read(&files);
        if facts.name.is_none() {
            facts = named_by_file(file_name).unwrap_or_default();
        }
        let Some(name) = facts.name.or_else(|| wish.name.clone()) else {
            return Err(input_error(format!(
                "the name of the project in `{shown}` is known only by running its code"
            ))
            .hint(format!("say it: `NAME @ {shown}`")));
        };
        let dist = name.as_dist_name();
        let ending = if is_zip { "zip" } else { "tar.gz" };
        let text = match &facts.version {
            // As it was published, so that it is the same source as the index's.
            Some(version) if says(file_name, &name, version) => {
                file_name.replace(".tgz", ".tar.gz")
            }
            Some(version) => format!("{dist}-{version}.{ending}"),
            None => format!("{dist}.{ending}"),
        };
        let filename: SdistFilename = text.parse().map_err(|e| input_error(format!("{e}")))?;
        let sha256 = found.sha256;
        let version = facts.version;
        Ok((
            name,
            SourceFile::Sdist {
                filename,
                sha256,
                version,
            },
        ))
    }
}

fn facts_of(tree: &Tree, subdirectory: Option<&Path>) -> Facts {
    let top = subdirectory.unwrap_or(Path::new(""));
    let files: BTreeMap<_, _> = NAMES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), tree.text(&top.join(name))?)))
        .collect();
    facts::read(&files)
}

/// `name-version.tar.gz`.
fn named_by_file(file: &str) -> Option<Facts> {
    let stem = ARCHIVES
        .iter()
        .find_map(|ending| file.strip_suffix(ending))?;
    let (name, version) = stem.rsplit_once('-')?;
    Some(Facts {
        name: Some(name.parse().ok()?),
        version: Some(version.parse().ok()?),
    })
}

fn says(file: &str, name: &ProjectName, version: &wheelfarm_types::Version) -> bool {
    named_by_file(file).is_some_and(|facts| {
        facts.name.as_ref() == Some(name) && facts.version.as_ref() == Some(version)
    })
}

impl Place {
    /// For messages: without credentials.
    pub fn shown(&self) -> String {
        match self {
            Self::Path { path, .. } => path.display().to_string(),
            Self::Address { url, .. } => without_credentials(url),
            Self::Git { repository, .. } => format!("git+{}", without_credentials(repository)),
        }
    }
}
