//! Compatibility tags, and which of them an interpreter on a target accepts.

use std::fmt;

use crate::{Libc, PythonVersion, Target};

/// One compatibility tag
/// ([platform compatibility tags](https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(
    missing_docs,
    reason = "the three parts are what the specification calls them"
)]
pub struct Tag {
    pub python: String,
    pub abi: String,
    pub platform: String,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.python, self.abi, self.platform)
    }
}

/// The tags that `python` accepts on a system that is exactly `target`, the most wanted first.
///
/// The order is pip's: the exact ABI, then `abi3` from the newest to the oldest interpreter, then `none`,
/// then pure Python; within each, the newest platform first.
pub fn compatible_tags(python: PythonVersion, target: Target) -> Vec<Tag> {
    let platforms = compatible_platforms(target);
    let mut interpreter_abis = vec![(python.python_tag(), python.abi_tag())];
    if !python.free_threaded {
        // The stable ABI begins with 3.2 (PEP 384); free-threaded interpreters do not load it.
        for minor in (2..=python.minor).rev() {
            interpreter_abis.push((format!("cp{}{minor}", python.major), "abi3".to_owned()));
        }
    }
    interpreter_abis.push((python.python_tag(), "none".to_owned()));
    let pure = std::iter::once(format!("py{}{}", python.major, python.minor))
        .chain(std::iter::once(format!("py{}", python.major)))
        .chain(
            (0..python.minor)
                .rev()
                .map(|minor| format!("py{}{minor}", python.major)),
        );
    interpreter_abis.extend(pure.clone().map(|tag| (tag, "none".to_owned())));

    let mut tags = Vec::new();
    for (python, abi) in interpreter_abis {
        tags.extend(platforms.iter().map(|platform| Tag {
            python: python.clone(),
            abi: abi.clone(),
            platform: platform.clone(),
        }));
    }
    tags.extend(
        std::iter::once(python.python_tag())
            .chain(pure)
            .map(|python| Tag {
                python,
                abi: "none".to_owned(),
                platform: "any".to_owned(),
            }),
    );
    tags
}

/// Platform tags that run on `target`, newest first, each followed by its name from before PEP 600.
fn compatible_platforms(target: Target) -> Vec<String> {
    let (minor, oldest) = match target.libc {
        Libc::Glibc { minor, .. } => (minor, 5),
        Libc::Musl { minor, .. } => (minor, 0),
    };
    let mut platforms = Vec::new();
    for minor in (oldest..=minor).rev() {
        let libc = match target.libc {
            Libc::Glibc { major, .. } => Libc::Glibc { major, minor },
            Libc::Musl { major, .. } => Libc::Musl { major, minor },
        };
        let target = Target { libc, ..target };
        platforms.push(target.to_string());
        platforms.extend(target.legacy_alias());
    }
    platforms.push(format!("linux_{}", target.arch));
    platforms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(python: &str, tag: (&str, &str, &str)) -> Option<usize> {
        compatible_tags(
            python.parse().unwrap(),
            "manylinux_2_28_x86_64".parse().unwrap(),
        )
        .iter()
        .position(|t| (t.python.as_str(), t.abi.as_str(), t.platform.as_str()) == tag)
    }

    #[test]
    fn order_is_from_specific_to_general() {
        let wanted = [
            ("cp311", "cp311", "manylinux_2_28_x86_64"),
            ("cp311", "cp311", "manylinux_2_17_x86_64"),
            ("cp311", "cp311", "manylinux2014_x86_64"),
            ("cp311", "abi3", "manylinux_2_28_x86_64"),
            ("cp39", "abi3", "manylinux_2_28_x86_64"),
            ("py3", "none", "manylinux_2_28_x86_64"),
            ("py3", "none", "any"),
        ];
        let ranks: Vec<_> = wanted
            .into_iter()
            .map(|tag| rank("3.11", tag).unwrap())
            .collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
    }

    #[test]
    fn what_does_not_run_is_not_listed() {
        assert_eq!(
            rank("3.11", ("cp311", "cp311", "manylinux_2_31_x86_64")),
            None
        );
        assert_eq!(
            rank("3.11", ("cp312", "abi3", "manylinux_2_28_x86_64")),
            None
        );
        assert_eq!(
            rank("3.14t", ("cp310", "abi3", "manylinux_2_28_x86_64")),
            None
        );
        assert_eq!(
            rank("3.11", ("cp311", "cp311", "musllinux_1_2_x86_64")),
            None
        );
    }
}
