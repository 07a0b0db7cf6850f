//! From facts and graphs to verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wheelfarm_types::{Arch, Libc};

use crate::facts::is_glibc_loader;
use crate::policy::musl_soname;
use crate::{
    AuditError, ElfFacts, ElfObject, Found, LibraryNode, LibraryRoot, LibraryTree, Obstacle,
    Policies, Policy, Verdict, musl,
};

/// A considered object of the wheel.
pub(crate) struct Subject<'a> {
    pub(crate) path: &'a str,
    pub(crate) facts: &'a ElfFacts,
    pub(crate) tree: &'a LibraryTree,
    /// What it loads by itself.
    pub(crate) included: &'a [String],
    /// Whether its libraries count for the tag: it is an extension module, or no other object loads it.
    pub(crate) top: bool,
}

pub(crate) struct Judge<'a> {
    pub(crate) root: &'a LibraryRoot,
    pub(crate) policies: &'a Policies,
    pub(crate) subjects: &'a [Subject<'a>],
    pub(crate) arch: Arch,
    pub(crate) isa_check: bool,
}

/// Libraries (needed names) below an object that a policy does not allow and the wheel does not have. What an
/// allowed library needs is the system's affair. A library that was asked for (`included`) counts in any case.
fn external(
    tree: &LibraryTree,
    needed: &[String],
    included: &[String],
    policy: &Policy,
    arch: Arch,
) -> BTreeSet<String> {
    let foreign = |name: &&String| {
        !is_glibc_loader(name) && !policy.allows_library(name, arch) && tree.contains_key(*name)
    };
    let asked_for = included.iter().filter(|name| tree.contains_key(*name));
    let mut pending: Vec<&String> = needed.iter().filter(foreign).chain(asked_for).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = pending.pop() {
        if seen.insert(name)
            && let Some(node) = tree.get(name)
        {
            pending.extend(node.needed.iter().filter(foreign));
        }
    }
    seen.into_iter()
        .filter(|name| {
            !matches!(
                tree.get(*name),
                Some(LibraryNode {
                    found: Found::Wheel(_),
                    ..
                })
            )
        })
        .cloned()
        .collect()
}

impl ElfObject {
    /// The libraries (needed names) outside the wheel that this object leads to and `policy` does not allow.
    pub fn external(&self, policy: &Policy, arch: Arch) -> BTreeSet<String> {
        external(&self.libraries, &self.needed, &self.included, policy, arch)
    }
}

impl Subject<'_> {
    /// As [`ElfObject::external`].
    pub(crate) fn external(&self, policy: &Policy, arch: Arch) -> BTreeSet<String> {
        external(self.tree, &self.facts.needed, self.included, policy, arch)
    }
}

/// The libraries that a policy wants in the wheel and that are not there.
#[derive(Default)]
struct Foreign<'a> {
    /// By the names they are needed under.
    names: BTreeSet<String>,
    /// By path in the root: facts, and the tree it was found in.
    found: BTreeMap<&'a str, (Arc<ElfFacts>, &'a LibraryTree)>,
}

impl Judge<'_> {
    /// The verdicts on `policies`, in their order.
    pub(crate) fn verdicts<'p>(
        &self,
        policies: impl Iterator<Item = &'p Policy>,
    ) -> Result<Vec<Verdict>, AuditError> {
        let mut verdicts = Vec::new();
        // Most neighbours allow the same libraries, and those are most of the work.
        let mut last: Option<(&Policy, Foreign<'_>)> = None;
        for policy in policies {
            let foreign = match last.take() {
                Some((other, foreign)) if policy.allows_libraries_of(other) => foreign,
                _ => self.foreign(policy)?,
            };
            verdicts.push(self.verdict(policy, &foreign));
            last = Some((policy, foreign));
        }
        let fewest = verdicts.iter().map(|verdict| verdict.grafts.len()).min();
        for verdict in &mut verdicts {
            verdict.fewest_grafts = Some(verdict.grafts.len()) == fewest;
        }
        Ok(verdicts)
    }

    fn foreign(&self, policy: &Policy) -> Result<Foreign<'_>, AuditError> {
        let mut foreign = Foreign::default();
        for subject in self.subjects.iter().filter(|subject| subject.top) {
            for name in subject.external(policy, self.arch) {
                if let Some(LibraryNode {
                    found: Found::Root(path),
                    ..
                }) = subject.tree.get(&name)
                    && let Some(facts) = self.root.library(path, self.policies)?
                {
                    foreign.found.insert(path, (facts, subject.tree));
                }
                foreign.names.insert(name);
            }
        }
        Ok(foreign)
    }

    fn verdict(&self, policy: &Policy, foreign: &Foreign<'_>) -> Verdict {
        let mut obstacles = BTreeSet::new();
        for subject in self.subjects {
            self.obstacles(
                policy,
                subject.path,
                subject.facts,
                subject.tree,
                &mut obstacles,
            );
        }
        for (path, (facts, tree)) in &foreign.found {
            self.obstacles(policy, path, facts, tree, &mut obstacles);
        }
        Verdict {
            target: policy.target(self.arch),
            aliases: policy
                .aliases
                .iter()
                .map(|alias| format!("{alias}_{}", self.arch))
                .collect(),
            obstacles: obstacles.into_iter().collect(),
            grafts: foreign.names.iter().cloned().collect(),
            fewest_grafts: false,
        }
    }

    fn obstacles(
        &self,
        policy: &Policy,
        file: &str,
        facts: &ElfFacts,
        tree: &LibraryTree,
        obstacles: &mut BTreeSet<Obstacle>,
    ) {
        let in_wheel = |library: &str| {
            matches!(
                tree.get(library),
                Some(LibraryNode {
                    found: Found::Wheel(_),
                    ..
                })
            )
        };
        for (library, versions) in &facts.versions {
            // The loader's own versions go with the libc's; a library in the wheel brings its versions along.
            if is_glibc_loader(library) || in_wheel(library) {
                continue;
            }
            for (version, symbols) in versions {
                if !policy.allows_version(version, self.arch) {
                    obstacles.insert(Obstacle::TooRecent {
                        file: file.to_owned(),
                        library: library.clone(),
                        version: version.clone(),
                        symbols: symbols.clone(),
                    });
                }
            }
        }
        if let Libc::Musl { major, minor } = policy.libc {
            self.too_recent_for_musl((major, minor), file, facts, obstacles);
        }
        for library in facts.needed.iter().filter(|library| !in_wheel(library)) {
            let Some(forbidden) = policy.blacklist(library) else {
                continue;
            };
            let symbols: Vec<String> = facts.watched.intersection(forbidden).cloned().collect();
            if !symbols.is_empty() || forbidden.contains("*") {
                obstacles.insert(Obstacle::Blacklisted {
                    file: file.to_owned(),
                    library: library.clone(),
                    symbols,
                });
            }
        }
        if self.isa_check && self.arch == Arch::X86_64 && facts.isa_level > 1 {
            obstacles.insert(Obstacle::Isa {
                file: file.to_owned(),
                level: facts.isa_level,
            });
        }
        if facts.uses_pyfpe() {
            obstacles.insert(Obstacle::PyFpe {
                file: file.to_owned(),
            });
        }
    }

    /// musl has no symbol versions; the functions that came with a later release tell.
    fn too_recent_for_musl(
        &self,
        policy: (u16, u16),
        file: &str,
        facts: &ElfFacts,
        obstacles: &mut BTreeSet<Obstacle>,
    ) {
        let mut later: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for symbol in &facts.watched {
            if let Some(release) = musl::added(symbol)
                && release.minor > policy
                && !self
                    .subjects
                    .iter()
                    .any(|subject| subject.facts.musl_defined.contains(symbol))
            {
                later.entry(release.name).or_default().push(symbol.clone());
            }
        }
        for (release, symbols) in later {
            obstacles.insert(Obstacle::TooRecent {
                file: file.to_owned(),
                library: musl_soname(self.arch).to_owned(),
                version: release.to_owned(),
                symbols,
            });
        }
    }
}
