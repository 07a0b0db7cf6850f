//! Which member names are safe to unpack.

use std::collections::HashSet;

use crate::WheelProblem;

/// Longest name of a member, in bytes: what Linux takes as a path.
const NAME_LIMIT: usize = 4096;

/// Why a member's name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Empty.
    #[error("the name is empty")]
    Empty,
    /// Longer than a path may be.
    #[error("the name is longer than a path may be")]
    Long,
    /// Begins with `/`.
    #[error("the name is an absolute path")]
    Absolute,
    /// Has a backslash, a colon after a drive letter, or a control character.
    #[error("the name holds a backslash or a control character")]
    Character,
    /// Has `.`, `..` or an empty part.
    #[error("the name has a `.`, `..` or empty part")]
    Part,
    /// Two entries have it.
    #[error("two entries have this name")]
    Duplicate,
    /// It is a file, and a directory of other entries.
    #[error("it is a file and a directory at once")]
    FileAndDirectory,
}

/// Checks one name; a directory's name may end in `/`.
pub(crate) fn check(name: &str) -> Result<(), NameProblem> {
    let bare = name.strip_suffix('/').unwrap_or(name);
    if bare.is_empty() {
        return Err(if name.is_empty() {
            NameProblem::Empty
        } else {
            NameProblem::Absolute
        });
    }
    if name.len() > NAME_LIMIT {
        return Err(NameProblem::Long);
    }
    if bare.starts_with('/') {
        return Err(NameProblem::Absolute);
    }
    if name.chars().any(|c| c == '\\' || c.is_control()) {
        return Err(NameProblem::Character);
    }
    if bare.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(NameProblem::Part);
    }
    Ok(())
}

/// Checks the name of a file: one that ends in `/` would be read as a directory.
pub(crate) fn check_file(name: &str) -> Result<(), WheelProblem> {
    let checked = check(name).and(if name.ends_with('/') {
        Err(NameProblem::Part)
    } else {
        Ok(())
    });
    checked.map_err(|reason| problem(name, reason))
}

fn problem(name: &str, reason: NameProblem) -> WheelProblem {
    WheelProblem::Name {
        name: name
            .chars()
            .take(200)
            .flat_map(char::escape_debug)
            .collect(),
        reason,
    }
}

/// Checks a whole set of names: each on its own, no duplicates, no file that is also a directory.
pub(crate) fn check_all<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), WheelProblem> {
    let mut files = HashSet::new();
    let mut seen = HashSet::new();
    for name in names.clone() {
        check(name).map_err(|reason| problem(name, reason))?;
        // A directory entry `a/` and a file `a` are one path.
        if !seen.insert(name.strip_suffix('/').unwrap_or(name)) {
            return Err(problem(name, NameProblem::Duplicate));
        }
        if !name.ends_with('/') {
            files.insert(name);
        }
    }
    for name in names {
        let parents = name.match_indices('/').filter_map(|(at, _)| name.get(..at));
        for parent in parents {
            if files.contains(parent) {
                return Err(problem(parent, NameProblem::FileAndDirectory));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for (name, problem) in [
            ("", NameProblem::Empty),
            ("/", NameProblem::Absolute),
            ("/etc/passwd", NameProblem::Absolute),
            ("../x", NameProblem::Part),
            ("a/../../x", NameProblem::Part),
            ("a//x", NameProblem::Part),
            ("./x", NameProblem::Part),
            ("a\\..\\x", NameProblem::Character),
            ("a\0", NameProblem::Character),
        ] {
            assert_eq!(check(name), Err(problem), "{name:?}");
        }
        assert_eq!(check(&"a".repeat(5000)), Err(NameProblem::Long));
        for good in ["a", "a/b.c", "a/", "ü/..x", "a b"] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn sets_are_consistent() {
        assert!(check_all(["a/", "a/b", "a/c/d"].into_iter()).is_ok());
        for bad in [["a", "a"], ["a", "a/"], ["a", "a/b"], ["a/b/c", "a/b"]] {
            assert!(check_all(bad.into_iter()).is_err(), "{bad:?}");
        }
    }
}
