//! Where groups may be made.
//!
//! Version 1: below our own group, in each hierarchy. Version 2: groups with processes have no groups with controllers
//! below them, so root makes one at the top, and users make theirs beside their own, where that is delegated to them.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Cgroups, Version};

/// Root's group of version 2, in which those of containers are.
const TOP: &str = "wheelfarm";
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    /// The controllers of version 1; None in version 2.
    controllers: Option<Vec<String>>,
    mounted: PathBuf,
    /// The group that is visible at `mounted`.
    root: String,
}

/// What there is, untried.
pub(super) fn find() -> Cgroups {
    let (mounts, own) = state();
    let hierarchies = hierarchies(&mounts);
    let version_1 = |controller: &str| {
        let has = |names: &Option<Vec<String>>| {
            names
                .as_ref()
                .is_some_and(|names| names.iter().any(|name| name == controller))
        };
        let hierarchy = hierarchies.iter().find(|found| has(&found.controllers))?;
        own_group(hierarchy, &own, Some(controller)).filter(|path| writable(path))
    };
    let found = Cgroups {
        version: Version::V1,
        memory: version_1("memory"),
        pids: version_1("pids"),
        cpu: version_1("cpu"),
        why: None,
    };
    if !found.parents().is_empty() {
        return found;
    }
    let version_2 = hierarchies.iter().find(|found| found.controllers.is_none());
    let Some(hierarchy) = version_2 else {
        let why = if hierarchies.is_empty() {
            "no control groups are mounted"
        } else {
            "the control groups belong to root"
        };
        return Cgroups::none(why.to_owned());
    };
    match version_2_parent(hierarchy, &own) {
        Ok(parent) => {
            let enabled = fs::read_to_string(parent.join("cgroup.subtree_control"));
            let enabled = enabled.unwrap_or_default();
            let with = |name: &str| {
                let is_on = enabled.split_whitespace().any(|found| found == name);
                is_on.then(|| parent.clone())
            };
            Cgroups {
                version: Version::V2,
                memory: with("memory"),
                pids: with("pids"),
                cpu: with("cpu"),
                why: None,
            }
        }
        Err(why) => Cgroups::none(why),
    }
}

/// The least of our own group's memory limits and of those above it.
pub(crate) fn memory_limit() -> Option<u64> {
    let (mounts, own) = state();
    let limits = hierarchies(&mounts).into_iter().filter_map(|hierarchy| {
        let (controller, file) = match &hierarchy.controllers {
            Some(names) if names.iter().any(|name| name == "memory") => {
                (Some("memory"), "memory.limit_in_bytes")
            }
            Some(_) => return None,
            None => (None, "memory.max"),
        };
        let group = own_group(&hierarchy, &own, controller)?;
        group
            .ancestors()
            .take_while(|path| path.starts_with(&hierarchy.mounted))
            .filter_map(|path| fs::read_to_string(path.join(file)).ok())
            .filter_map(|text| text.trim().parse().ok())
            .min()
    });
    limits.min()
}

fn state() -> (String, String) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    (read("/proc/self/mountinfo"), read("/proc/self/cgroup"))
}

/// Root's own group at the top, with controllers for those below; a user's parent group.
fn version_2_parent(hierarchy: &Hierarchy, own: &str) -> Result<PathBuf, String> {
    if rustix::process::geteuid().is_root() {
        let top = hierarchy.mounted.join(TOP);
        let made = fs::create_dir_all(&top)
            .and_then(|()| enable(&hierarchy.mounted))
            .and_then(|()| enable(&top));
        return made.map(|()| top).map_err(|error| error.to_string());
    }
    let group = own_group(hierarchy, own, None);
    let parent = group.as_deref().and_then(Path::parent);
    match parent.filter(|parent| parent.starts_with(&hierarchy.mounted) && writable(parent)) {
        Some(parent) => Ok(parent.to_owned()),
        None => Err("control groups are not delegated to this session".to_owned()),
    }
}

/// Lets groups below `group` have the controllers.
fn enable(group: &Path) -> std::io::Result<()> {
    let available = fs::read_to_string(group.join("cgroup.controllers"))?;
    for name in CONTROLLERS {
        if available.split_whitespace().any(|found| found == name) {
            fs::write(group.join("cgroup.subtree_control"), format!("+{name}"))?;
        }
    }
    Ok(())
}

fn writable(group: &Path) -> bool {
    let access = rustix::fs::Access::WRITE_OK;
    [group.to_owned(), group.join("cgroup.procs")]
        .iter()
        .all(|path| rustix::fs::access(path, access).is_ok())
}

/// The hierarchies in the text of `/proc/self/mountinfo`.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, mounted) = (left.next()?.to_owned(), PathBuf::from(left.next()?));
        let mut right = right.split(' ');
        let kind = right.next()?;
        let controllers = match kind {
            "cgroup" => Some(right.nth(1)?.split(',').map(str::to_owned).collect()),
            "cgroup2" => None,
            _ => return None,
        };
        Some(Hierarchy {
            controllers,
            mounted,
            root,
        })
    };
    mounts.lines().filter_map(line).collect()
}

/// The directory of our own group, from the text of `/proc/self/cgroup`.
fn own_group(hierarchy: &Hierarchy, own: &str, controller: Option<&str>) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let is_it = match controller {
            Some(name) => controllers.split(',').any(|found| found == name),
            None => controllers.is_empty(),
        };
        is_it.then_some(path)
    })?;
    // Inside a container the mount may show a part only, or our group lie outside of it.
    let below = Path::new(path).strip_prefix(&hierarchy.root).ok();
    let below = below
        .filter(|below| !below.starts_with(".."))
        .unwrap_or(Path::new(""));
    let group = hierarchy.mounted.join(below);
    group.is_dir().then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
32 31 0:29 /docker/1 /sys/fs/cgroup/cpu,cpuacct ro,relatime - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
broken line
";

    #[test]
    fn hierarchies_are_told_by_kind_and_controller() {
        let found = hierarchies(MOUNTS);
        let summary: Vec<_> = found
            .iter()
            .map(|found| {
                let controllers = found.controllers.as_ref();
                let names = controllers.map(|names| names[1..].join("+"));
                (found.root.as_str(), names)
            })
            .collect();
        assert_eq!(
            summary,
            [
                ("/", Some("memory".to_owned())),
                ("/docker/1", Some("cpu+cpuacct".to_owned())),
                ("/", None),
            ]
        );
    }

    #[test]
    fn our_own_group_is_found_below_what_is_mounted() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("a/b")).unwrap();
        let hierarchy = |root: &str, controllers| Hierarchy {
            controllers,
            mounted: top.path().to_owned(),
            root: root.to_owned(),
        };
        let own = "8:pids:/\n4:memory,x:/a/b\n0::/a\n";
        let memory = Some(vec!["memory".to_owned()]);
        let group = |root: &str| own_group(&hierarchy(root, memory.clone()), own, Some("memory"));
        assert_eq!(group("/").unwrap(), top.path().join("a/b"));
        assert_eq!(group("/elsewhere").unwrap(), top.path());
        assert_eq!(group("/a/b").unwrap(), top.path());
        let unified = own_group(&hierarchy("/", None), own, None);
        assert_eq!(unified.unwrap(), top.path().join("a"));
        assert_eq!(own_group(&hierarchy("/", None), "", None), None);
    }
}
