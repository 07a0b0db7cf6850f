//! Which libraries to graft, and how everything that needs them changes.

use std::collections::{BTreeMap, BTreeSet};

use wheelfarm_audit::{
    AuditReport, ElfObject, Found, LibcFamily, LibraryRoot, Policy, stays_in_wheel,
};
use wheelfarm_types::Arch;
use wheelfarm_wheel::{Scheme, Wheel};

use crate::included::Included;
use crate::naming::{file_name, grafted, origin, relative};
use crate::objects::has_symbols;
use crate::scripts;
use crate::{Graft, MemberEdit, RepairError};

/// Collects grafts and edits, object by object.
pub(crate) struct Grafting<'a> {
    wheel: &'a Wheel,
    root: &'a LibraryRoot,
    policy: &'a Policy,
    arch: Arch,
    lib_sdir: &'a str,
    /// By path in the root: one file is grafted once, under however many names it is needed. Not by soname:
    /// two objects may find different libraries of one name.
    grafts: BTreeMap<String, Graft>,
    edits: BTreeMap<String, MemberEdit>,
    included: Included,
}

impl<'a> Grafting<'a> {
    pub(crate) fn new(
        wheel: &'a Wheel,
        root: &'a LibraryRoot,
        policy: &'a Policy,
        arch: Arch,
        lib_sdir: &'a str,
    ) -> Self {
        Self {
            wheel,
            root,
            policy,
            arch,
            lib_sdir,
            grafts: BTreeMap::new(),
            edits: BTreeMap::new(),
            included: Included::default(),
        }
    }

    /// Takes in what the wheel's code loads by itself; before any object is added.
    pub(crate) fn include(
        &mut self,
        report: &AuditReport,
        asked_for: &[String],
    ) -> Result<(), RepairError> {
        self.included = Included::find(report, asked_for, self.root)?;
        let libraries = self.site();
        for (asked_for, name) in self.included.names() {
            let member = format!("{}/{name}", libraries.archive);
            if self.wheel.entry(&member).is_some() {
                return Err(RepairError::Include {
                    name: asked_for.to_owned(),
                    reason: "the wheel has another file of that name, which its code does not find",
                });
            }
        }
        Ok(())
    }

    /// The names that [`wheelfarm_audit::AuditOptions::include`] has for the repaired wheel.
    pub(crate) fn included_names(&self, asked_for: &[String]) -> Vec<String> {
        let name = |asked_for: &String| match self.included.name_of(asked_for) {
            Some(name) => name.to_owned(),
            None => asked_for.clone(),
        };
        asked_for.iter().map(name).collect()
    }

    /// Takes an object of the wheel in.
    pub(crate) fn add(&mut self, object: &ElfObject) -> Result<(), RepairError> {
        let external = object.external(self.policy, self.arch);
        if external.is_empty() {
            return Ok(());
        }
        let (moved_to, libraries) = self.place(object)?;
        // Names first: the libraries need each other in any order.
        let mut renames: BTreeMap<&String, String> = BTreeMap::new();
        let mut libpython = BTreeSet::new();
        for soname in &external {
            match object.libraries.get(soname).map(|node| &node.found) {
                Some(Found::Root(path)) => {
                    let name = self.graft(path, soname)?;
                    renames.insert(soname, name);
                }
                Some(Found::Libpython) if object.executable && !is_library(object) => {
                    return Err(RepairError::LinksLibpython {
                        file: object.path.clone(),
                        soname: soname.clone(),
                    });
                }
                Some(Found::Libpython) => {
                    libpython.insert(soname);
                }
                Some(Found::Wheel(_)) => {}
                Some(Found::Missing) | None => {
                    return Err(RepairError::MissingLibrary {
                        file: object.path.clone(),
                        soname: soname.clone(),
                    });
                }
            }
        }
        for soname in renames.keys() {
            let Some(node) = object.libraries.get(*soname) else {
                continue;
            };
            let Found::Root(path) = &node.found else {
                continue;
            };
            let Some(graft) = self.grafts.get_mut(path) else {
                continue;
            };
            graft
                .members
                .insert(format!("{}/{}", libraries.archive, graft.name));
            for needed in &node.needed {
                if let Some(name) = renames.get(needed) {
                    graft
                        .renames
                        .entry(needed.clone())
                        .or_insert_with(|| name.clone());
                    graft.rpath = Some("$ORIGIN".to_owned());
                } else if libpython.contains(needed) {
                    graft.remove_needed.insert(needed.clone());
                }
            }
        }
        let edit = MemberEdit {
            member: object.path.clone(),
            moved_to: moved_to.clone(),
            renames: object
                .needed
                .iter()
                .filter_map(|name| Some((name.clone(), renames.get(name)?.clone())))
                .filter(|(old, new)| old != new)
                .collect(),
            remove_needed: object
                .needed
                .iter()
                .filter(|name| libpython.contains(name))
                .cloned()
                .collect(),
            add_needed: self.loaded_early(object, &renames),
            strip: false,
            rpath: (!renames.is_empty())
                .then(|| self.rpath(object, moved_to.as_deref(), &libraries)),
        };
        self.edits.insert(object.path.clone(), edit);
        Ok(())
    }

    /// Included libraries that `object` has to be linked to. musl searches for what is loaded by name in the path of
    /// the program, not in that of the caller: there, a library has to be loaded before it is asked for.
    fn loaded_early(&self, object: &ElfObject, renames: &BTreeMap<&String, String>) -> Vec<String> {
        let family = LibcFamily::of(self.policy.libc);
        if family != LibcFamily::Musl
            || (object.extension.is_none() && self.included.has_extensions)
        {
            return Vec::new();
        }
        let included = object.included.iter();
        let names = included.filter_map(|name| renames.get(name));
        names
            .filter(|name| !object.needed.contains(name))
            .cloned()
            .collect()
    }

    /// Has everything stripped that has something to lose. What cannot be stripped goes into `unstripped`.
    pub(crate) fn strip(
        &mut self,
        report: &AuditReport,
        unstripped: &mut BTreeMap<String, String>,
    ) -> Result<(), RepairError> {
        let mut wanted = |file: &str, bytes: &[u8]| match has_symbols(bytes) {
            Ok(has_symbols) => has_symbols,
            Err(error) => {
                unstripped.insert(file.to_owned(), error.to_string());
                false
            }
        };
        for (path, graft) in &mut self.grafts {
            graft.strip = wanted(path, &self.root.read(path)?);
        }
        for object in report.objects.iter().filter(|object| object.considered) {
            let Some(entry) = self.wheel.entry(&object.path) else {
                continue;
            };
            let file = self.wheel.follow(entry)?;
            if wanted(&object.path, &self.wheel.read(&file.name)?) {
                let edit = self.edits.entry(object.path.clone());
                edit.or_insert_with(|| MemberEdit::nothing(&object.path))
                    .strip = true;
            }
        }
        Ok(())
    }

    /// All grafts and edits, in order.
    pub(crate) fn finish(self) -> (Vec<Graft>, Vec<MemberEdit>) {
        (
            self.grafts.into_values().collect(),
            self.edits.into_values().collect(),
        )
    }

    /// Registers a library; its new name.
    fn graft(&mut self, path: &str, soname: &str) -> Result<String, RepairError> {
        if let Some(graft) = self.grafts.get_mut(path) {
            graft.sonames.insert(soname.to_owned());
            return Ok(graft.name.clone());
        }
        let digest = self.root.digest(path)?;
        let name = match self.included.own_name(path) {
            Some(name) => name.to_owned(),
            None => grafted(file_name(path), &digest),
        };
        let graft = Graft {
            source: path.to_owned(),
            digest,
            sonames: BTreeSet::from([soname.to_owned()]),
            name: name.clone(),
            members: BTreeSet::new(),
            owner: self.root.licensed_owner(path),
            renames: BTreeMap::new(),
            remove_needed: BTreeSet::new(),
            // What loads others by itself has to find them.
            rpath: (!self.included.is_empty()).then(|| "$ORIGIN".to_owned()),
            strip: false,
        };
        self.grafts.insert(path.to_owned(), graft);
        Ok(name)
    }

    /// Where the libraries of objects in site-packages go.
    fn site(&self) -> Libraries {
        let directory = format!("{}{}", self.wheel.filename().name, self.lib_sdir);
        Libraries {
            archive: directory.clone(),
            installed: directory,
        }
    }

    /// Where the libraries of an object go, and where the object itself does if it cannot stay.
    fn place(&self, object: &ElfObject) -> Result<(Option<String>, Libraries), RepairError> {
        let site = self.site();
        match self.wheel.installed(&object.path).scheme {
            Scheme::Site => Ok((None, site)),
            Scheme::Scripts => {
                let moved = scripts::destination(&self.wheel.filename().name, &object.path);
                Ok((Some(moved), site))
            }
            // The prefix has a fixed shape of its own, but no fixed way to site-packages: such objects get
            // their own copies beside them.
            Scheme::Data => Ok((
                None,
                Libraries {
                    archive: format!("{}/data/lib/{}", self.wheel.data_dir(), site.archive),
                    installed: format!("lib/{}", site.installed),
                },
            )),
            Scheme::Headers => Err(RepairError::Place {
                file: object.path.clone(),
            }),
        }
    }

    /// The object's old entries that lead into the wheel, then the way to the libraries. Everything is taken in
    /// the installed layout: `.data/platlib` is site-packages there.
    fn rpath(&self, object: &ElfObject, moved_to: Option<&str>, libraries: &Libraries) -> String {
        let old = self.wheel.installed(&object.path);
        let new = self.wheel.installed(moved_to.unwrap_or(&object.path));
        let written = object
            .runpath
            .as_deref()
            .or(object.rpath.as_deref())
            .unwrap_or_default();
        let mut entries: Vec<String> = Vec::new();
        // A moved object's old entries lead elsewhere from its new place.
        if moved_to.is_none() {
            entries.extend(
                written
                    .split(':')
                    .filter(|entry| stays_in_wheel(entry, &old))
                    .map(str::to_owned),
            );
        }
        entries.push(origin(&relative(new.parent(), &libraries.installed)));
        let mut seen = BTreeSet::new();
        entries.retain(|entry| seen.insert(entry.clone()));
        entries.join(":")
    }
}

/// The directory of grafted libraries, in the archive and below its installation directory.
struct Libraries {
    archive: String,
    installed: String,
}

/// Some libraries can also be run, as libc can; they have a soname.
fn is_library(object: &ElfObject) -> bool {
    object.soname.is_some() || object.extension.is_some()
}
