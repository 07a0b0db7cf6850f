//! Symbolic links in an archive.

use crate::{Entry, EntryKind, Wheel, WheelError, WheelProblem};

/// Most links followed for one entry: Linux gives up after as many.
const HOPS: usize = 40;

impl Wheel {
    /// The entry that `entry` stands for: itself, or what a symbolic link leads to inside the archive.
    pub fn follow<'a>(&'a self, entry: &'a Entry) -> Result<&'a Entry, WheelError> {
        let mut current = entry;
        for _ in 0..HOPS {
            if current.kind != EntryKind::Symlink {
                return Ok(current);
            }
            let target = self.read_start(&current.name, 4096)?;
            let target = String::from_utf8_lossy(&target);
            let resolved = beside(&current.name, &target).and_then(|name| self.entry(&name));
            match resolved.filter(|entry| entry.kind != EntryKind::Directory) {
                Some(next) => current = next,
                None => break,
            }
        }
        let target = self.read_start(&entry.name, 200)?;
        Err(WheelProblem::Link {
            name: entry.name.clone(),
            target: String::from_utf8_lossy(&target).into_owned(),
        }
        .of(self.filename()))
    }
}

/// The member that a relative link target means; none if it leaves the archive.
fn beside(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
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
    fn targets_are_relative_to_the_link() {
        assert_eq!(beside("a/b/link", "../c/./x").as_deref(), Some("a/c/x"));
        assert_eq!(beside("link", "x").as_deref(), Some("x"));
        for (link, target) in [("a/link", "../../x"), ("link", "/x")] {
            assert_eq!(beside(link, target), None);
        }
    }
}
