//! Whether the members of a source distribution stay in its directory when it is unpacked.
//!
//! Stricter than [PEP 721](https://peps.python.org/pep-0721/): nothing may be unpacked by way of a link, and a
//! link's target may go up only at its beginning, so that what a path says is where it leads.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

/// Watches members go by.
#[derive(Debug)]
pub(crate) struct Members {
    seen: usize,
    bytes: u64,
    most: usize,
    most_bytes: u64,
    links: BTreeSet<PathBuf>,
}

impl Members {
    /// A watch that lets through so many members of so many unpacked bytes.
    pub(crate) fn new(most: usize, most_bytes: u64) -> Self {
        Self {
            seen: 0,
            bytes: 0,
            most,
            most_bytes,
            links: BTreeSet::new(),
        }
    }

    /// The next member of a tar file; `Err` says why it must not be unpacked.
    pub(crate) fn entry(
        &mut self,
        path: &Path,
        kind: EntryType,
        link: Option<&Path>,
        size: u64,
    ) -> Result<(), String> {
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let clean = self.member(path, size)?;
        let shown = path.display();
        match kind {
            EntryType::Regular
            | EntryType::Continuous
            | EntryType::GNUSparse
            | EntryType::Directory => Ok(()),
            EntryType::Symlink => {
                let link = link.unwrap_or(Path::new(""));
                let parent = clean
                    .parent()
                    .map_or(0, |parent| parent.components().count());
                let inside = rises(link).is_some_and(|rises| rises <= parent);
                self.links.insert(clean);
                leads_out(inside, &shown, link)
            }
            EntryType::Link => {
                let link = link.unwrap_or(Path::new(""));
                leads_out(rises(link) == Some(0), &shown, link)
            }
            _ => Err(format!("`{shown}` is neither file, directory nor link")),
        }
    }

    /// The next member of an archive of files and directories; returns its path without `.`.
    pub(crate) fn member(&mut self, path: &Path, size: u64) -> Result<PathBuf, String> {
        self.seen += 1;
        if self.seen > self.most {
            return Err(format!("it has more than {} members", self.most));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.most_bytes {
            return Err(format!("it unpacks to more than {} bytes", self.most_bytes));
        }
        let shown = path.display();
        if rises(path) != Some(0) {
            return Err(format!(
                "`{shown}` would be unpacked outside of its directory"
            ));
        }
        let clean: PathBuf = path
            .components()
            .filter(|component| *component != Component::CurDir)
            .collect();
        let through = clean
            .ancestors()
            .skip(1)
            .find(|ancestor| self.links.contains(*ancestor));
        match through {
            Some(link) => Err(format!(
                "`{shown}` would be unpacked by way of the link `{}`",
                link.display()
            )),
            None => Ok(clean),
        }
    }
}

/// How many directories up a relative path begins; none if it is absolute, or goes up later on.
fn rises(path: &Path) -> Option<usize> {
    let mut up = 0;
    let mut down = false;
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => down = true,
            Component::ParentDir if !down => up += 1,
            _ => return None,
        }
    }
    Some(up)
}

fn leads_out(inside: bool, shown: &std::path::Display<'_>, link: &Path) -> Result<(), String> {
    if inside {
        return Ok(());
    }
    Err(format!(
        "the link `{shown}` leads out of its directory: `{}`",
        link.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds members (path, kind, link target) and returns what is said of the last.
    fn last(members: &[(&str, EntryType, &str)]) -> Result<(), String> {
        let mut watch = Members::new(10, 1000);
        let mut said = Ok(());
        for (path, kind, link) in members {
            assert_eq!(said, Ok(()));
            said = watch.entry(Path::new(path), *kind, Some(Path::new(link)), 1);
        }
        said
    }

    const FILE: EntryType = EntryType::Regular;
    const SYM: EntryType = EntryType::Symlink;
    const HARD: EntryType = EntryType::Link;

    #[test]
    fn honest_members_pass() {
        for members in [
            &[("./x-1/a", FILE, "")][..],
            &[("x-1/a/l", SYM, "../b"), ("x-1/b", FILE, "")],
            &[("x-1/l", SYM, "a"), ("x-1/h", HARD, "x-1/a")],
            &[("pax_global_header", EntryType::XGlobalHeader, "")],
        ] {
            assert_eq!(last(members), Ok(()), "{members:?}");
        }
    }

    #[test]
    fn ways_out_are_refused() {
        for (members, why) in [
            (&[("../evil", FILE, "")][..], "outside"),
            (&[("x-1/../../evil", FILE, "")], "outside"),
            (&[("/evil", FILE, "")], "outside"),
            (&[("x-1/l", SYM, "/etc")], "leads out"),
            (&[("x-1/l", SYM, "../..")], "leads out"),
            (&[("x-1/l", SYM, "a/../../..")], "leads out"),
            (&[("x-1/h", HARD, "/etc/passwd")], "leads out"),
            (&[("x-1/h", HARD, "../etc/passwd")], "leads out"),
            (&[("x-1/l", SYM, "a"), ("x-1/l/b", FILE, "")], "by way of"),
            (
                &[("x-1/l", SYM, ".."), ("./x-1/l/m", SYM, "../..")],
                "by way of",
            ),
            (&[("x-1/d", EntryType::Char, "")], "neither file"),
            (&[("x-1/p", EntryType::Fifo, "")], "neither file"),
        ] {
            let said = last(members).unwrap_err();
            assert!(said.contains(why), "{members:?}: {said}");
        }
    }

    #[test]
    fn endless_archives_are_refused() {
        let mut watch = Members::new(2, 1000);
        assert!(watch.member(Path::new("a"), 1000).is_ok());
        assert!(
            watch
                .member(Path::new("b"), 1)
                .unwrap_err()
                .contains("1000 bytes")
        );
        assert!(
            watch
                .member(Path::new("c"), 0)
                .unwrap_err()
                .contains("2 members")
        );
        let mut watch = Members::new(2, 1000);
        assert!(watch.member(Path::new("a"), u64::MAX).is_err());
    }
}
