//! The audit: from a wheel and a root to the report.

mod names;
mod notes;
mod python;
mod scan;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wheelfarm_types::{Arch, Libc, Target};
use wheelfarm_wheel::{Scheme, Wheel};

use crate::graph::{Members, Place, Resolver};
use crate::verdict::{Judge, Subject};
use crate::{
    AuditError, AuditOptions, AuditReport, ElfFacts, ElfObject, ExtensionModule, ExternalLibrary,
    Finding, Found, LibcFamily, LibraryRoot, LibraryTree, Policies, Policy, Verdict,
};
use names::NamedArch;
use scan::Scanned;

pub(crate) use python::FREE_THREADED;
pub use scan::{Objects, SeenObjects};

/// Audits a wheel against the root of the environment it was built in.
///
/// Every ELF object of the archive is looked at, whether RECORD lists it or not. Reading the objects uses all
/// cores; the report does not depend on how many there are.
pub fn audit(
    wheel: &Wheel,
    root: &LibraryRoot,
    options: &AuditOptions,
) -> Result<AuditReport, AuditError> {
    audit_objects(wheel, &Objects::read(wheel)?, root, options)
}

/// Like [`audit`], of a wheel whose objects have been read.
pub fn audit_objects(
    wheel: &Wheel,
    objects: &Objects,
    root: &LibraryRoot,
    options: &AuditOptions,
) -> Result<AuditReport, AuditError> {
    let policies = Policies::builtin()?;
    let exclude = options.excluded()?;
    let scanned = &objects.scanned;
    let mut findings = objects.findings.clone();
    let named = names::of(wheel.filename());
    let arch = match named.arch {
        NamedArch::Is(arch) => Some(arch),
        NamedArch::Open => scanned.iter().find_map(|object| object.facts.arch()),
        NamedArch::Unknown => None,
    };
    let of_arch = |object: &&Scanned| arch.is_some_and(|arch| object.facts.is_for(arch));
    let libc = named
        .libc
        .or_else(|| scanned.iter().filter(of_arch).find_map(Scanned::libc));
    let considered = |object: &&Scanned| {
        of_arch(object)
            && object
                .libc()
                .is_none_or(|own| libc.is_none_or(|libc| own == libc))
    };

    let members: Members = scanned
        .iter()
        .filter(considered)
        .map(|object| {
            (
                wheel.installed(&object.path),
                (object.path.clone(), object.facts.clone()),
            )
        })
        .collect();
    let resolver = Resolver {
        root,
        policies,
        members: &members,
        exclude: &exclude,
        family: libc.unwrap_or(LibcFamily::Glibc),
        arch,
    };
    let mut trees = scanned
        .iter()
        .map(|object| {
            if !considered(&object) {
                return Ok(LibraryTree::new());
            }
            let installed = wheel.installed(&object.path);
            let origin = Place::Wheel(installed.scheme, installed.parent().to_owned());
            let included = included(wheel, object, options);
            resolver.tree(object.facts.clone(), origin, included)
        })
        .collect::<Result<Vec<_>, AuditError>>()?;
    complete(scanned, &mut trees);

    let needed: HashSet<&String> = scanned
        .iter()
        .filter(considered)
        .flat_map(|object| &object.facts.needed)
        .collect();
    let subjects: Vec<Subject<'_>> = scanned
        .iter()
        .zip(&trees)
        .filter(|(object, _)| considered(object))
        .map(|(object, tree)| Subject {
            path: &object.path,
            facts: &object.facts,
            tree,
            included: included(wheel, object, options),
            top: object.module().is_some() || !needed.contains(&object.file_name().to_owned()),
        })
        .collect();
    let family = libc.unwrap_or(LibcFamily::Glibc);
    let verdicts = match arch {
        Some(arch) if !subjects.is_empty() => {
            let judge = Judge {
                root,
                policies,
                subjects: &subjects,
                arch,
                isa_check: options.isa_check,
            };
            let musl = options.musl.or(named.musl).or_else(|| match family {
                LibcFamily::Musl => musl_version(&root.package_version("musl")?),
                LibcFamily::Glibc => None,
            });
            judge.verdicts(applicable(policies, family, arch, musl).into_iter())?
        }
        _ => Vec::new(),
    };
    let earned = best(&verdicts, |verdict| verdict.fewest_grafts);
    let earned_without_grafting = best(&verdicts, |verdict| verdict.grafts.is_empty());

    let strictest = arch.and_then(|arch| {
        // Nothing better is known of the systems than what newer processors have.
        let known = match arch {
            Arch::Armv6l => Arch::Armv7l,
            arch => arch,
        };
        let policy = applicable(policies, family, known, None)
            .into_iter()
            .next()?;
        Some((policy, arch))
    });
    let external = match strictest {
        Some((policy, arch)) => externals(&subjects, policy, arch, root, policies)?,
        None => Vec::new(),
    };
    notes::about_objects(wheel, scanned, arch, libc, &mut findings);
    python::about_modules(
        wheel.filename(),
        scanned.iter().filter(considered),
        &mut findings,
    );
    notes::about_libraries(&subjects, &external, &mut findings);
    notes::about_tags(
        wheel,
        earned_without_grafting,
        libc,
        !scanned.is_empty(),
        &mut findings,
    );
    findings.sort();
    findings.dedup();

    let mut extensions = BTreeSet::new();
    let objects = scanned
        .iter()
        .zip(trees.iter())
        .map(|(object, tree)| {
            let extension = object
                .module()
                .map(|_| names::dotted(&wheel.installed(&object.path).path));
            if let Some(name) = extension.clone().filter(|_| considered(&object)) {
                let path = object.path.clone();
                extensions.insert(ExtensionModule { name, path });
            }
            let mut report = report_on(object, tree, extension, considered(&object));
            if report.considered {
                report.included = included(wheel, object, options).to_vec();
            }
            report
        })
        .collect();
    Ok(AuditReport {
        wheel: wheel.filename().clone(),
        arch,
        libc,
        narrow_unicode: subjects
            .iter()
            .any(|subject| subject.facts.unicode_width() == Some(2)),
        earned,
        earned_without_grafting,
        verdicts,
        external,
        objects,
        extensions: extensions.into_iter().collect(),
        findings,
    })
}

/// What an object may load by itself. Only from site-packages is there a fixed way to the libraries of the wheel.
fn included<'o>(wheel: &Wheel, object: &Scanned, options: &'o AuditOptions) -> &'o [String] {
    match wheel.installed(&object.path).scheme {
        Scheme::Site => &options.include,
        _ => &[],
    }
}

/// A library that another object of the wheel has loaded finds its own needs where that object found them, even
/// if it could not find them by itself: it has no RPATH because its users have one.
fn complete(scanned: &[Scanned], trees: &mut [LibraryTree]) {
    let mut users: HashMap<&str, Vec<&LibraryTree>> = HashMap::new();
    for tree in &*trees {
        for node in tree.values() {
            if let Found::Wheel(path) = &node.found {
                users.entry(path).or_default().push(tree);
            }
        }
    }
    let additions: Vec<LibraryTree> = scanned
        .iter()
        .zip(&*trees)
        .map(|(object, tree)| match users.get(object.path.as_str()) {
            Some(users) if object.module().is_none() => from_users(tree, users),
            _ => LibraryTree::new(),
        })
        .collect();
    for (tree, additions) in trees.iter_mut().zip(additions) {
        tree.extend(additions);
    }
}

/// What is missing from `tree` but was found by a user, with what that needs.
fn from_users(tree: &LibraryTree, users: &[&LibraryTree]) -> LibraryTree {
    let mut additions = LibraryTree::new();
    let mut pending: Vec<&String> = tree
        .iter()
        .filter(|(_, node)| node.found == Found::Missing)
        .map(|(name, _)| name)
        .collect();
    while let Some(name) = pending.pop() {
        let known = |tree: &LibraryTree| {
            tree.get(name)
                .is_some_and(|node| node.found != Found::Missing)
        };
        if known(tree) || known(&additions) {
            continue;
        }
        let node = users
            .iter()
            .filter_map(|user| user.get(name))
            .find(|node| node.found != Found::Missing);
        if let Some(node) = node {
            pending.extend(&node.needed);
            additions.insert(name.clone(), node.clone());
        }
    }
    additions
}

/// The policies that can apply. For musl, not those before the version of the environment that the objects were
/// built in: they do not say which version they need.
fn applicable(
    policies: &Policies,
    family: LibcFamily,
    arch: Arch,
    musl: Option<(u16, u16)>,
) -> Vec<&Policy> {
    let mut applicable: Vec<&Policy> = policies.of(family, arch).collect();
    if family == LibcFamily::Musl {
        let fits = |policy: &&Policy| {
            let (major, minor) = musl.unwrap_or((u16::MAX, u16::MAX));
            matches!(policy.libc, Libc::Musl { major: m, minor: n } if (m, n) <= (major, minor))
        };
        let first = applicable
            .iter()
            .rposition(fits)
            .unwrap_or(applicable.len());
        applicable.drain(..first);
    }
    applicable
}

/// `1.2` of `1.2.5-r0`.
fn musl_version(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split(['.', '-', '_']);
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

fn best(verdicts: &[Verdict], fits: impl Fn(&Verdict) -> bool) -> Option<Target> {
    verdicts
        .iter()
        .find(|verdict| verdict.is_possible() && fits(verdict))
        .map(|verdict| verdict.target)
}

fn externals(
    subjects: &[Subject<'_>],
    policy: &Policy,
    arch: Arch,
    root: &LibraryRoot,
    policies: &Policies,
) -> Result<Vec<ExternalLibrary>, AuditError> {
    let mut libraries: BTreeMap<String, ExternalLibrary> = BTreeMap::new();
    for subject in subjects {
        for soname in subject.external(policy, arch) {
            let found = subject.tree.get(&soname).map(|node| &node.found);
            let path = match found {
                Some(Found::Root(path)) => Some(path.clone()),
                _ => None,
            };
            let library = libraries
                .entry(soname.clone())
                .or_insert_with(|| ExternalLibrary {
                    soname,
                    path: None,
                    owner: None,
                    needed_by: Vec::new(),
                    version_needs: BTreeMap::new(),
                    libpython: found == Some(&Found::Libpython),
                });
            library.needed_by.push(subject.path.to_owned());
            if library.path.is_none()
                && let Some(path) = path
            {
                library.owner = root.owner(&path);
                if let Some(facts) = root.library(&path, policies)? {
                    library.version_needs = version_needs(&facts);
                }
                library.path = Some(path);
            }
        }
    }
    Ok(libraries.into_values().collect())
}

fn version_needs(facts: &ElfFacts) -> BTreeMap<String, Vec<String>> {
    let names = |versions: &BTreeMap<String, Vec<String>>| versions.keys().cloned().collect();
    facts
        .versions
        .iter()
        .map(|(library, versions)| (library.clone(), names(versions)))
        .collect()
}

fn report_on(
    object: &Scanned,
    tree: &LibraryTree,
    extension: Option<String>,
    considered: bool,
) -> ElfObject {
    let facts = &object.facts;
    ElfObject {
        path: object.path.clone(),
        arch: facts.arch(),
        considered,
        executable: facts.executable,
        soname: facts.soname.clone(),
        needed: facts.needed.clone(),
        included: Vec::new(),
        rpath: facts.rpath.clone(),
        runpath: facts.runpath.clone(),
        interpreter: facts.interpreter.clone(),
        version_needs: version_needs(facts),
        isa_level: facts.isa_level,
        extension,
        libraries: tree.clone(),
    }
}

impl AuditReport {
    /// Whether the wheel holds nothing that is tied to a platform.
    pub fn is_pure(&self) -> bool {
        self.findings.contains(&Finding::NoElf)
    }

    /// Whether there is something to judge: an object of the wheel's architecture and C library.
    pub fn has_objects(&self) -> bool {
        self.objects.iter().any(|object| object.considered)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "auditwheel_tests.rs"]
mod auditwheel_tests;
