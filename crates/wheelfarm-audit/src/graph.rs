//! The libraries below an object, found as the environment's loader finds them.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use globset::GlobSet;
use serde::Serialize;
use wheelfarm_types::Arch;
use wheelfarm_wheel::{Installed, Scheme};

use crate::facts::is_libpython;
use crate::{AuditError, AuditOptions, ElfFacts, LibcFamily, LibraryRoot, Policies};

/// Most libraries below one object. Programs have some hundreds.
const LIBRARIES: usize = 10_000;

/// Every library that an object needs, directly or not, by the name it is needed under. Excluded ones are absent.
pub type LibraryTree = BTreeMap<String, LibraryNode>;

/// A library in a [`LibraryTree`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LibraryNode {
    /// Where it was found.
    pub found: Found,
    /// What it needs itself.
    pub needed: Vec<String>,
}

/// Where a library was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase", tag = "in", content = "path")]
pub enum Found {
    /// A file of the root, links resolved.
    Root(String),
    /// A member of the wheel.
    Wheel(String),
    /// libpython, which the interpreter provides; not searched for.
    Libpython,
    /// Nowhere.
    Missing,
}

/// The libraries below an ELF file of the root.
pub fn library_tree(
    root: &LibraryRoot,
    path: &str,
    options: &AuditOptions,
) -> Result<LibraryTree, AuditError> {
    let policies = Policies::builtin()?;
    let bytes = root.read(path)?;
    let facts = ElfFacts::read(&bytes, policies).map_err(|error| AuditError::RootFile {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let members = HashMap::new();
    let exclude = options.excluded()?;
    let resolver = Resolver {
        root,
        policies,
        members: &members,
        exclude: &exclude,
        family: facts.libc(path).unwrap_or(LibcFamily::Glibc),
        arch: facts.arch(),
    };
    let origin = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    resolver.tree(Arc::new(facts), Place::Root(origin.to_owned()), &[])
}

/// A directory: of the installed wheel, or of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Wheel(Scheme, String),
    Root(String),
}

/// The wheel's own objects by where they are installed: archive path and facts.
pub(crate) type Members = HashMap<Installed, (String, Arc<ElfFacts>)>;

pub(crate) struct Resolver<'a> {
    pub(crate) root: &'a LibraryRoot,
    pub(crate) policies: &'a Policies,
    pub(crate) members: &'a Members,
    pub(crate) exclude: &'a GlobSet,
    pub(crate) family: LibcFamily,
    pub(crate) arch: Option<Arch>,
}

/// An object in the process that the search imitates.
struct Loaded {
    facts: Arc<ElfFacts>,
    origin: Place,
    loader: Option<usize>,
}

impl Resolver<'_> {
    /// The tree below `top`, which lies in `origin` and loads `included` by itself. Breadth first, as loaders do it: the first library found
    /// under a name is the one for the whole process.
    pub(crate) fn tree(
        &self,
        top: Arc<ElfFacts>,
        origin: Place,
        included: &[String],
    ) -> Result<LibraryTree, AuditError> {
        let last = self
            .root
            .default_paths(self.family, self.arch, top.interpreter.as_deref());
        let mut tree = LibraryTree::new();
        let mut excluded = HashSet::new();
        let mut by_soname: HashMap<String, (Found, Vec<String>)> = HashMap::new();
        let mut loaded = vec![Loaded {
            facts: top,
            origin,
            loader: None,
        }];
        let mut queue = VecDeque::from([0]);
        while let Some(by) = queue.pop_front() {
            let needed = loaded.get(by).map(|object| object.facts.needed.clone());
            let included = if by == 0 { included } else { &[] };
            let needed = needed.unwrap_or_default().into_iter();
            for name in needed.chain(included.iter().cloned()) {
                if tree.contains_key(&name) || excluded.contains(&name) {
                    continue;
                }
                if self.exclude.is_match(&name) {
                    excluded.insert(name);
                    continue;
                }
                if is_libpython(&name) {
                    tree.insert(name, LibraryNode::bare(Found::Libpython));
                    continue;
                }
                // A library that calls itself so is loaded already.
                if let Some((found, needed)) = by_soname.get(&name) {
                    let (found, needed) = (found.clone(), needed.clone());
                    tree.insert(name, LibraryNode { found, needed });
                    continue;
                }
                let Some((found, facts, origin)) = self.search(&name, &loaded, by, &last)? else {
                    tree.insert(name, LibraryNode::bare(Found::Missing));
                    continue;
                };
                if matches!(&found, Found::Root(path) if self.exclude.is_match(path)) {
                    excluded.insert(name);
                    continue;
                }
                if let Some(soname) = &facts.soname {
                    by_soname
                        .entry(soname.clone())
                        .or_insert_with(|| (found.clone(), facts.needed.clone()));
                }
                let needed = facts.needed.clone();
                tree.insert(name, LibraryNode { found, needed });
                if loaded.len() < LIBRARIES {
                    queue.push_back(loaded.len());
                    loaded.push(Loaded {
                        facts,
                        origin,
                        loader: Some(by),
                    });
                }
            }
        }
        Ok(tree)
    }

    fn search(
        &self,
        name: &str,
        loaded: &[Loaded],
        by: usize,
        last: &[String],
    ) -> Result<Option<(Found, Arc<ElfFacts>, Place)>, AuditError> {
        let Some(object) = loaded.get(by) else {
            return Ok(None);
        };
        if name.contains('/') {
            // A path is not searched for; a relative one begins where the program is started, which is anywhere.
            let Some((directory, file)) = name.rsplit_once('/').filter(|_| name.starts_with('/'))
            else {
                return Ok(None);
            };
            return self.look(file, Place::Root(directory.to_owned()), &object.facts);
        }
        for directory in self.directories(loaded, by, last) {
            let hit = self.look(name, directory, &object.facts)?;
            if hit.is_some() {
                return Ok(hit);
            }
        }
        Ok(None)
    }

    fn look(
        &self,
        name: &str,
        directory: Place,
        user: &ElfFacts,
    ) -> Result<Option<(Found, Arc<ElfFacts>, Place)>, AuditError> {
        let (found, facts) = match &directory {
            Place::Wheel(scheme, parent) => {
                let path = if parent.is_empty() {
                    name.to_owned()
                } else {
                    format!("{parent}/{name}")
                };
                let installed = Installed {
                    scheme: *scheme,
                    path,
                };
                match self.members.get(&installed) {
                    Some((member, facts)) => (Found::Wheel(member.clone()), facts.clone()),
                    None => return Ok(None),
                }
            }
            Place::Root(parent) => {
                let Some(real) = self.root.resolve(&format!("{parent}/{name}")) else {
                    return Ok(None);
                };
                match self.root.library(&real, self.policies)? {
                    Some(facts) => (Found::Root(real), facts),
                    None => return Ok(None),
                }
            }
        };
        Ok(facts.fits(user).then_some((found, facts, directory)))
    }

    /// Where the loader looks for what `loaded[by]` needs, in order: ld.so(8) for glibc, `load_library` in
    /// `ldso/dynlink.c` for musl.
    fn directories(&self, loaded: &[Loaded], by: usize, last: &[String]) -> Vec<Place> {
        let mut directories = Vec::new();
        let chain = std::iter::successors(loaded.get(by), |object| loaded.get(object.loader?));
        let environment = self.root.ld_paths().iter().cloned().map(Place::Root);
        let Some(object) = loaded.get(by) else {
            return directories;
        };
        match self.family {
            LibcFamily::Glibc => {
                if object.facts.runpath.is_none() {
                    // An object that has a RUNPATH takes no part with its RPATH.
                    for object in chain.filter(|object| object.facts.runpath.is_none()) {
                        directories.extend(object.expand(object.facts.rpath.as_deref(), self.arch));
                    }
                }
                directories.extend(environment);
                directories.extend(object.expand(object.facts.runpath.as_deref(), self.arch));
            }
            LibcFamily::Musl => {
                directories.extend(environment);
                for object in chain {
                    let path = object
                        .facts
                        .runpath
                        .as_deref()
                        .or(object.facts.rpath.as_deref());
                    directories.extend(object.expand(path, self.arch));
                }
            }
        }
        if !object.facts.no_default_libraries {
            directories.extend(last.iter().cloned().map(Place::Root));
        }
        directories
    }
}

impl Loaded {
    fn expand(&self, path: Option<&str>, arch: Option<Arch>) -> Vec<Place> {
        path.into_iter()
            .flat_map(|path| path.split(':'))
            .flat_map(|entry| expand(entry, &self.origin, arch))
            .collect()
    }
}

impl LibraryNode {
    fn bare(found: Found) -> Self {
        Self {
            found,
            needed: Vec::new(),
        }
    }
}

/// The directories that one entry of an RPATH means for an object in `origin`: `$ORIGIN` is replaced, `$LIB` is
/// tried as each name it has on some distribution. None for an entry that is relative to the working directory,
/// empty, or leads out of the wheel's part of the installation.
pub(crate) fn expand(entry: &str, origin: &Place, arch: Option<Arch>) -> Vec<Place> {
    let entry = entry
        .replace("${ORIGIN}", "$ORIGIN")
        .replace("${LIB}", "$LIB");
    let variants = if entry.contains("$LIB") {
        let mut names = vec!["lib64".to_owned(), "lib".to_owned()];
        names.extend(
            arch.map(crate::root::multiarch)
                .map(|triplet| format!("lib/{triplet}")),
        );
        names
            .iter()
            .map(|name| entry.replace("$LIB", name))
            .collect()
    } else {
        vec![entry]
    };
    variants
        .iter()
        .filter_map(|entry| match (entry.strip_prefix("$ORIGIN"), origin) {
            (Some(rest), Place::Root(directory)) => Some(Place::Root(format!("{directory}{rest}"))),
            (Some(rest), Place::Wheel(scheme, directory)) => {
                Some(Place::Wheel(*scheme, normal(directory, rest)?))
            }
            (None, _) if entry.starts_with('/') => Some(Place::Root(entry.clone())),
            (None, _) => None,
        })
        .collect()
}

/// Whether an entry of an RPATH leads to a directory of the installed wheel, for an object installed there.
pub fn stays_in_wheel(entry: &str, object: &Installed) -> bool {
    let origin = Place::Wheel(object.scheme, object.parent().to_owned());
    let places = expand(entry, &origin, None);
    !places.is_empty() && places.iter().all(|place| matches!(place, Place::Wheel(..)))
}

/// `directory` + `rest` without `.` and `..`; none if it climbs out.
fn normal(directory: &str, rest: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(rest.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_where_the_object_is_installed() {
        let site = |path: &str| Place::Wheel(Scheme::Site, path.to_owned());
        let package = site("pkg/sub");
        for (entry, expected) in [
            ("$ORIGIN", vec![site("pkg/sub")]),
            ("${ORIGIN}/../../x.libs/", vec![site("x.libs")]),
            ("$ORIGIN/../../../../lib", vec![]),
            ("/usr/lib", vec![Place::Root("/usr/lib".into())]),
            ("relative", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(
                expand(entry, &package, Some(Arch::X86_64)),
                expected,
                "{entry}"
            );
        }
        let library = Place::Root("/usr/lib".into());
        let dirs = expand("$ORIGIN/../$LIB", &library, Some(Arch::X86_64));
        assert_eq!(dirs.len(), 3);
        assert_eq!(dirs.first(), Some(&Place::Root("/usr/lib/../lib64".into())));
    }
}
