//! pip's `--no-binary` and `--only-binary`: which projects are built, and which are never built.

use std::collections::BTreeSet;

use wheelfarm_types::ProjectName;

use super::lines::input_error;
use crate::{Lock, ResolveError};

/// Projects by name, or all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    all: bool,
    named: BTreeSet<ProjectName>,
}

/// Which projects may come as wheels of the index, and which may be built. A name counts more than `:all:`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formats {
    no_binary: Names,
    only_binary: Names,
}

impl Formats {
    /// `--no-binary`: `value` is a list of names separated by commas, `:all:` or `:none:`. What was said last
    /// counts.
    pub fn no_binary(&mut self, value: &str) -> Result<(), ResolveError> {
        add(value, &mut self.no_binary, &mut self.only_binary)
    }

    /// `--only-binary`, likewise.
    pub fn only_binary(&mut self, value: &str) -> Result<(), ResolveError> {
        add(value, &mut self.only_binary, &mut self.no_binary)
    }

    /// What was said with `--no-binary` and with `--only-binary`, as values of these options.
    pub fn values(&self) -> (Vec<String>, Vec<String>) {
        let said = |names: &Names| {
            let all = names.all.then(|| ":all:".to_owned());
            all.into_iter()
                .chain(names.named.iter().map(ToString::to_string))
                .collect()
        };
        (said(&self.no_binary), said(&self.only_binary))
    }

    /// Whether `project` is never built.
    pub fn is_never_built(&self, project: &ProjectName) -> bool {
        self.only_binary.named.contains(project)
            || (self.only_binary.all && !self.no_binary.named.contains(project))
    }

    /// Whether `project` is built although the index has a wheel.
    pub fn is_always_built(&self, project: &ProjectName) -> bool {
        self.no_binary.named.contains(project)
            || (self.no_binary.all && !self.only_binary.named.contains(project))
    }

    /// What the resolver is told: names, or `:all:`, that only versions with wheels are taken of.
    pub(crate) fn only_binary_for_uv(&self) -> Vec<String> {
        let all = self.only_binary.all.then(|| ":all:".to_owned());
        let named = self.only_binary.named.iter().map(ToString::to_string);
        all.into_iter().chain(named).collect()
    }

    /// What the resolver is told: names that `:all:` does not mean.
    pub(crate) fn not_only_binary_for_uv(&self) -> Vec<String> {
        if !self.only_binary.all {
            return Vec::new();
        }
        self.no_binary
            .named
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Takes files out of `lock` that may not be used.
    pub fn apply(&self, lock: &mut Lock) {
        for package in &mut lock.packages {
            if self.is_never_built(&package.name) {
                package.sdist = None;
            } else if self.is_always_built(&package.name) && package.sdist.is_some() {
                package.wheels.clear();
            }
        }
    }
}

fn add(value: &str, target: &mut Names, other: &mut Names) -> Result<(), ResolveError> {
    for name in value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match name {
            ":all:" => {
                *other = Names::default();
                *target = Names {
                    all: true,
                    ..Names::default()
                };
            }
            ":none:" => *target = Names::default(),
            name => {
                let name: ProjectName = name.parse().map_err(|e| input_error(format!("{e}")))?;
                other.named.remove(&name);
                target.named.insert(name);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_more_than_all_and_the_last_word_counts() {
        let name = |name: &str| name.parse::<ProjectName>().unwrap();
        let mut formats = Formats::default();
        formats.only_binary("lxml").unwrap();
        formats.no_binary(":all:").unwrap();
        assert!(formats.is_always_built(&name("lxml")));
        formats.only_binary("lxml,Zope.Interface").unwrap();
        assert!(formats.is_never_built(&name("zope-interface")));
        assert!(!formats.is_always_built(&name("lxml")));
        assert!(formats.is_always_built(&name("numpy")));
        formats.no_binary(":none:").unwrap();
        assert!(!formats.is_always_built(&name("numpy")));
        assert!(formats.only_binary("a b").is_err());
    }
}
