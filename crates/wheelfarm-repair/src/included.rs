//! Libraries that the wheel's code loads by itself (`dlopen`).
//!
//! Code asks for them by name. A loader that is asked by an object of the wheel searches that object's RPATH, and
//! first looks whether a library with that soname is loaded already. So these libraries keep the name that they are
//! asked for by: as file name and as soname.

use std::collections::BTreeMap;

use wheelfarm_audit::{AuditReport, Found, LibraryRoot};
use wheelfarm_elf::Elf;

use crate::RepairError;
use crate::naming::file_name;

/// What was asked for and is in the root.
#[derive(Debug, Default)]
pub(crate) struct Included {
    /// File in the root -> what was asked for, and the name it gets.
    by_path: BTreeMap<String, (String, String)>,
    /// Whether the wheel has extension modules.
    pub(crate) has_extensions: bool,
}

impl Included {
    /// Finds what was asked for in the trees of the objects that may load it.
    pub(crate) fn find(
        report: &AuditReport,
        asked_for: &[String],
        root: &LibraryRoot,
    ) -> Result<Self, RepairError> {
        if let Some(name) = asked_for.first()
            && report
                .objects
                .iter()
                .all(|object| object.included.is_empty())
        {
            return Err(RepairError::Include {
                name: name.clone(),
                reason: "the wheel has no object in site-packages that could load it",
            });
        }
        let mut included = Self {
            by_path: BTreeMap::new(),
            has_extensions: !report.extensions.is_empty(),
        };
        for object in &report.objects {
            for name in &object.included {
                let error = |reason| RepairError::Include {
                    name: name.clone(),
                    reason,
                };
                match object.libraries.get(name).map(|node| &node.found) {
                    Some(Found::Root(path)) => included.add(name, path, root)?,
                    // It is there already, where the code finds it.
                    Some(Found::Wheel(_)) => {}
                    Some(Found::Libpython) => {
                        return Err(error("the interpreter brings its own libpython"));
                    }
                    Some(Found::Missing) => {
                        return Err(error("it is neither in the wheel nor in the library root"));
                    }
                    None => return Err(error("it is excluded")),
                }
            }
        }
        Ok(included)
    }

    fn add(&mut self, asked_for: &str, path: &str, root: &LibraryRoot) -> Result<(), RepairError> {
        let error = |reason| RepairError::Include {
            name: asked_for.to_owned(),
            reason,
        };
        if let Some((other, _)) = self.by_path.get(path) {
            return if other == asked_for {
                Ok(())
            } else {
                Err(error("the same file is included under another name"))
            };
        }
        let name = if asked_for.contains('/') {
            let bytes = root.read(path)?;
            // The audit has read it: it is a library.
            let elf = Elf::parse(&bytes).ok();
            let soname = elf.and_then(|elf| elf.soname().map(str::to_owned));
            soname.unwrap_or_else(|| file_name(asked_for).to_owned())
        } else {
            asked_for.to_owned()
        };
        if name.contains('/') || matches!(name.as_str(), "" | "." | "..") {
            return Err(error("its soname is no file name"));
        }
        if self.by_path.values().any(|(_, other)| *other == name) {
            return Err(error("another included library has the same name"));
        }
        self.by_path
            .insert(path.to_owned(), (asked_for.to_owned(), name));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// The name that a file of the root keeps.
    pub(crate) fn own_name(&self, path: &str) -> Option<&str> {
        self.by_path.get(path).map(|(_, name)| name.as_str())
    }

    /// The name that a library gets that was asked for as `asked_for`.
    pub(crate) fn name_of(&self, asked_for: &str) -> Option<&str> {
        let mut names = self.names();
        names.find_map(|(other, name)| (other == asked_for).then_some(name))
    }

    /// What was asked for, and the names they get.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.by_path.values();
        pairs.map(|(asked_for, name)| (asked_for.as_str(), name.as_str()))
    }
}
