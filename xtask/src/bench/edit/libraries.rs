//! Which files of this machine the native objects need, found as its loader finds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use wheelfarm_elf::Elf;
use wheelfarm_tests::anyhow::Result;
use wheelfarm_tests::process::run;

/// More libraries than any object of this machine loads.
const MAX_LIBRARIES: usize = 1000;

/// The loader's cache: names of libraries and their paths.
#[derive(Debug)]
pub(crate) struct Libraries(BTreeMap<String, PathBuf>);

impl Libraries {
    /// What `ldconfig` knows for x86-64.
    pub(crate) fn of_this_machine() -> Result<Libraries> {
        let text = run(Command::new("/sbin/ldconfig").arg("-p"))?;
        let lines = text.lines().filter(|line| line.contains("x86-64"));
        let mut libraries = BTreeMap::new();
        for line in lines {
            if let Some((name, path)) = line.split_once(" => ")
                && let Some(name) = name.split_whitespace().next()
            {
                libraries
                    .entry(name.to_owned())
                    .or_insert_with(|| PathBuf::from(path));
            }
        }
        Ok(Libraries(libraries))
    }

    /// The file of library `name` that the object at `path` needs.
    fn find(&self, elf: &Elf<'_>, path: &Path, name: &str) -> Option<PathBuf> {
        let origin = path.parent()?;
        let search = elf.runpath().or(elf.rpath()).unwrap_or_default();
        let origin = origin.to_string_lossy();
        let directories = search.split(':').filter(|entry| !entry.is_empty());
        let expanded = directories.map(|entry| {
            PathBuf::from(
                entry
                    .replace("${ORIGIN}", &origin)
                    .replace("$ORIGIN", &origin),
            )
        });
        expanded
            .map(|directory| directory.join(name))
            .find(|candidate| candidate.exists())
            .and_then(|found| fs_err::canonicalize(found).ok())
            .or_else(|| self.0.get(name).cloned())
    }

    /// All libraries that the object needs, by name, with those that they need; `None` when one cannot be found.
    pub(crate) fn closure(&self, elf: &Elf<'_>, path: &Path) -> Option<BTreeMap<String, PathBuf>> {
        let mut found = BTreeMap::new();
        let mut open = Vec::new();
        for name in elf.needed() {
            let library = self.find(elf, path, name)?;
            found.insert((*name).to_owned(), library.clone());
            open.push(library);
        }
        while let Some(path) = open.pop() {
            let bytes = fs_err::read(&path).ok()?;
            let elf = Elf::parse(&bytes).ok()?;
            for name in elf.needed() {
                if !found.contains_key(*name) {
                    let library = self.find(&elf, &path, name)?;
                    found.insert((*name).to_owned(), library.clone());
                    open.push(library);
                }
            }
            if found.len() > MAX_LIBRARIES {
                return None;
            }
        }
        Some(found)
    }
}
