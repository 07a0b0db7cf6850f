//! The directory that stands for `/` of an environment.

mod dpkg;
mod licenses;
mod loader;
mod owners;
mod rpm;
mod walk;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wheelfarm_elf::{Elf, Parts};
use wheelfarm_types::{Arch, Digest};

use crate::pool::Pool;
use crate::{AuditError, ElfFacts, LibcFamily, Policies};

pub(crate) use loader::multiarch;
pub use owners::{Distro, Manager, Package};

/// Largest library that is read, in bytes. The largest in use, CUDA's, are below one GiB.
const LIBRARY_LIMIT: u64 = 2 << 30;

/// Bytes that are read to see what a file is and which of its parts matter.
const START: u64 = 4 << 10;

/// Fewer bytes than this are read rather than left out.
const WORTH_SKIPPING: u64 = 128 << 10;

/// Most bytes that a buffer keeps for the next library.
const BUFFER_KEPT: usize = 8 << 20;

/// A directory with the shared libraries, loader configuration and package ownership of an environment.
///
/// Symbolic links are followed inside it: an absolute target begins at the root, and `..` does not leave it. All
/// paths it takes and gives are absolute paths as the environment itself has them. Every library is read and
/// parsed at most once, however many objects need it.
#[derive(Debug)]
pub struct LibraryRoot {
    /// None: the empty root.
    directory: Option<PathBuf>,
    ld_paths: Vec<String>,
    default_paths: bool,
    configured: loader::Configured,
    owners: owners::Owners,
    /// By path as searched: links and absences are remembered too.
    found: Mutex<HashMap<String, Option<String>>>,
    /// By path with links resolved.
    parsed: Mutex<HashMap<String, Arc<Parsed>>>,
    /// By path as searched: the digest of what file.
    digests: Mutex<HashMap<String, (Digest, walk::Identity)>>,
    /// For what is read and not kept.
    buffers: Pool<Vec<u8>>,
}

/// Facts about one library once somebody has read it; inside, none if it is no readable ELF object.
type Parsed = Mutex<Option<Option<Arc<ElfFacts>>>>;

impl LibraryRoot {
    /// The root in `directory`: its loader configuration and ownership are read now, libraries when needed.
    pub fn open(directory: &Path) -> Result<Self, AuditError> {
        let directory = fs_err::canonicalize(directory).map_err(AuditError::Root)?;
        let read = |path: &str| walk::read_text(&directory, path);
        Ok(Self {
            configured: loader::Configured::read(&directory, &read)?,
            owners: owners::Owners::read(&directory, &read)?,
            directory: Some(directory),
            ..Self::empty()
        })
    }

    /// A root with nothing in it: a wheel that is complete audits well against it.
    pub fn empty() -> Self {
        Self {
            directory: None,
            ld_paths: Vec::new(),
            default_paths: true,
            configured: loader::Configured::default(),
            owners: owners::Owners::default(),
            found: Mutex::default(),
            parsed: Mutex::default(),
            digests: Mutex::default(),
            buffers: Pool::default(),
        }
    }

    /// Searches these directories of the root first, as `LD_LIBRARY_PATH` does.
    #[must_use]
    pub fn with_ld_paths(mut self, paths: Vec<String>) -> Self {
        self.ld_paths = paths;
        self
    }

    /// Does not search the loader's configured and default directories: auditwheel's `--ldpaths`.
    #[must_use]
    pub fn without_default_paths(mut self) -> Self {
        self.default_paths = false;
        self
    }

    /// As the loader of a system that is run: of glibc's configuration it knows what `ldconfig` has filed in
    /// `/etc/ld.so.cache`, so where that is not, only the directories that it was compiled with count.
    #[must_use]
    pub fn as_installed(mut self) -> Self {
        if self.resolve("/etc/ld.so.cache").is_none() {
            self.configured.forget_glibc();
        }
        self
    }

    /// The file that `path` is, links resolved; none if there is no regular file.
    pub fn resolve(&self, path: &str) -> Option<String> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found.get(path) {
            return known.clone();
        }
        let resolved = walk::resolve_file(self.directory.as_deref()?, path);
        found.insert(path.to_owned(), resolved.clone());
        resolved
    }

    /// The content of a file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, AuditError> {
        let (directory, real) = self.locate(path)?;
        walk::read(directory, &real, LIBRARY_LIMIT)
    }

    /// The digest of a file's content when it was first asked for.
    pub fn digest(&self, path: &str) -> Result<Digest, AuditError> {
        if let Some((digest, _)) = self.digested(path) {
            return Ok(digest);
        }
        let (directory, real) = self.locate(path)?;
        let known = self.glance(directory, &real, |bytes, file| (Digest::of(bytes), file))?;
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.insert(path.to_owned(), known);
        Ok(known.0)
    }

    /// Looks at a file whose content has `digest`; none if it has another one by now.
    pub fn look<T>(
        &self,
        path: &str,
        digest: &Digest,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, AuditError> {
        let (directory, real) = self.locate(path)?;
        self.glance(directory, &real, |bytes, file| {
            // What nobody has written to since has the digest that it had.
            let same = self.digested(path) == Some((*digest, file));
            (same || Digest::of(bytes) == *digest).then(|| look(bytes))
        })
    }

    fn digested(&self, path: &str) -> Option<(Digest, walk::Identity)> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.get(path).copied()
    }

    /// Reads a file that is not kept.
    fn glance<T>(
        &self,
        directory: &Path,
        real: &str,
        look: impl FnOnce(&[u8], walk::Identity) -> T,
    ) -> Result<T, AuditError> {
        self.buffers.with(|bytes| {
            let read = walk::read_into(directory, real, LIBRARY_LIMIT, bytes);
            let seen = read.map(|file| look(bytes, file));
            if bytes.capacity() > BUFFER_KEPT {
                *bytes = Vec::new();
            }
            seen
        })
    }

    /// The root's directory, and the file in it with links resolved.
    fn locate(&self, path: &str) -> Result<(&Path, String), AuditError> {
        let directory = self.directory.as_deref();
        directory
            .zip(self.resolve(path))
            .ok_or_else(|| AuditError::NoLibrary(path.to_owned()))
    }

    /// The distribution package that a file belongs to. dpkg's database has no licences: those are left out.
    pub fn owner(&self, path: &str) -> Option<Package> {
        let real = self.resolve(path);
        self.owners
            .of(path)
            .or_else(|| self.owners.of(real.as_deref()?))
    }

    /// Like [`LibraryRoot::owner`]; dpkg's licences are read from the package's copyright file.
    pub fn licensed_owner(&self, path: &str) -> Option<Package> {
        let mut package = self.owner(path)?;
        if let Some(directory) = &self.directory
            && self.owners.have_copyright_files()
        {
            let file = format!("/usr/share/doc/{}/copyright", package.name);
            // One that cannot be read is as good as none.
            if let Ok(Some(text)) = walk::read_text(directory, &file) {
                package.licenses = licenses::of_copyright(&text);
            }
        }
        Some(package)
    }

    /// The distribution, from `etc/os-release`.
    pub fn distro(&self) -> Option<&Distro> {
        self.owners.distro()
    }

    /// The version of an installed package, if ownership is known.
    pub fn package_version(&self, name: &str) -> Option<String> {
        self.owners.version(name)
    }

    /// Facts about a library by its path; none if it is no readable ELF object.
    pub(crate) fn library(
        &self,
        real: &str,
        policies: &Policies,
    ) -> Result<Option<Arc<ElfFacts>>, AuditError> {
        let cell = {
            let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(parsed.entry(real.to_owned()).or_default())
        };
        // Others wait for this library alone.
        let mut known = cell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let Some(directory) = self.directory.as_deref() else {
            return Ok(None);
        };
        let facts = self.facts(directory, real, policies)?.map(Arc::new);
        *known = Some(facts.clone());
        Ok(facts)
    }

    /// Reads facts; none of what is no ELF object, such as a linker script: the loader passes it over, and so do we.
    fn facts(
        &self,
        directory: &Path,
        real: &str,
        policies: &Policies,
    ) -> Result<Option<ElfFacts>, AuditError> {
        let file = walk::open(directory, real)?;
        let start = file.read_at(0, START)?;
        if !Elf::is_elf(&start) {
            return Ok(None);
        }
        // Most of a large library is of no interest here, and reading it would be most of the work.
        let parts = Parts::of(&start, file.length)
            .filter(|parts| parts.tail - parts.head >= WORTH_SKIPPING);
        if let Some(parts) = parts
            && file.length <= LIBRARY_LIMIT
        {
            let head = file.read_at(0, parts.head)?;
            let tail = file.read_at(parts.tail, u64::MAX)?;
            let read = Elf::parse_parts(&head, parts.tail, &tail)
                .and_then(|elf| ElfFacts::of(&elf, policies));
            if let Ok(facts) = read {
                return Ok(Some(facts));
            }
        }
        self.glance(directory, real, |bytes, _| {
            ElfFacts::read(bytes, policies).ok()
        })
    }

    /// The loaders of musl that are where programs look for them.
    pub(crate) fn musl_loaders(&self) -> Vec<String> {
        let names = self.names("/lib").into_iter();
        names
            .filter(|name| name.starts_with("ld-musl-"))
            .map(|name| format!("/lib/{name}"))
            .collect()
    }

    /// The names in a directory, sorted; empty if there is no such directory.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let root = self.directory.as_deref();
        root.map_or_else(Vec::new, |root| walk::names(root, directory))
    }

    /// Directories that the caller wants searched first.
    pub(crate) fn ld_paths(&self) -> &[String] {
        &self.ld_paths
    }

    /// Directories that the loader searches last, in order.
    pub(crate) fn default_paths(
        &self,
        family: LibcFamily,
        arch: Option<Arch>,
        interpreter: Option<&str>,
    ) -> Vec<String> {
        if !self.default_paths {
            return Vec::new();
        }
        self.configured.paths(family, arch, interpreter)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
