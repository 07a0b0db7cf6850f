//! Control groups: what bounds the memory, processes and processor time of a container, versions 1 and 2.

mod find;
mod group;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

pub(crate) use find::memory_limit;
pub(crate) use group::Group;

use crate::sandbox::bundle::Unheld;
use crate::sandbox::launch::Bounds;

/// What the name of a container's group begins with.
const PREFIX: &str = "wheelfarm-";

/// The control groups that this process may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    version: Version,
    /// Under which group those of containers are made, for each controller.
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    cpu: Option<PathBuf>,
    /// Why some of them are missing.
    why: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Version {
    #[default]
    V1,
    V2,
}

impl Cgroups {
    /// What this machine has, with every controller tried.
    ///
    /// `name` is that of no container.
    pub(crate) fn probe(name: &str) -> Self {
        let mut found = find::find();
        let bounds = Bounds {
            cores: 0.5,
            memory: 64 << 20,
            pids: 16,
        };
        let tried = found.create(name, Some(bounds));
        match tried {
            Ok(group) => group.remove_now(),
            Err(error) => found = Self::none(error.to_string()),
        }
        found
    }

    /// None at all, and why.
    pub(crate) fn none(why: String) -> Self {
        Self {
            why: Some(why),
            ..Self::default()
        }
    }

    /// A group for the container `name`.
    pub(crate) fn create(&self, name: &str, bounds: Option<Bounds>) -> std::io::Result<Group> {
        Group::create(self, &format!("{PREFIX}{name}"), bounds)
    }

    /// What no group bounds.
    pub(crate) fn unheld(&self) -> Unheld {
        Unheld {
            memory: self.memory.is_none(),
            pids: self.pids.is_none(),
        }
    }

    /// What is bounded, and what is not.
    pub(crate) fn kinds(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let kinds = [
            ("memory", &self.memory),
            ("processes", &self.pids),
            ("cores", &self.cpu),
        ];
        let (held, missing): (Vec<_>, Vec<_>) =
            kinds.into_iter().partition(|(_, parent)| parent.is_some());
        let names = |kinds: Vec<(&'static str, _)>| kinds.into_iter().map(|(name, _)| name);
        (names(held).collect(), names(missing).collect())
    }

    /// Why some are missing.
    pub(crate) fn why(&self) -> &str {
        self.why.as_deref().unwrap_or("their controller is off")
    }

    /// `v1` or `v2`; None if there are none.
    pub fn version(&self) -> Option<&'static str> {
        self.parents().first()?;
        Some(match self.version {
            Version::V1 => "v1",
            Version::V2 => "v2",
        })
    }

    /// Removes groups of containers of `run`, as far as nothing runs in them.
    pub(crate) fn sweep(&self, run: &str) {
        for parent in self.parents() {
            for name in names(parent, run) {
                // The next sweep finds what is in use still.
                fs::remove_dir(parent.join(name)).ok();
            }
        }
    }

    /// The groups of containers of `run` that exist.
    #[cfg(test)]
    pub(crate) fn groups(&self, run: &str) -> Vec<String> {
        let parents = self.parents().into_iter();
        parents.flat_map(|parent| names(parent, run)).collect()
    }

    fn parents(&self) -> Vec<&PathBuf> {
        let all = [&self.memory, &self.pids, &self.cpu];
        let distinct: BTreeSet<_> = all.into_iter().flatten().collect();
        distinct.into_iter().collect()
    }
}

/// The groups of containers of `run` below `parent`.
fn names(parent: &Path, run: &str) -> Vec<String> {
    let prefix = format!("{PREFIX}{run}-");
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}
