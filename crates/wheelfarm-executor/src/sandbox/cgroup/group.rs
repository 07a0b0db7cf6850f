//! The group of one container.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::{Cgroups, Version};
use crate::sandbox::launch::Bounds;

/// The launcher and the runtime are in the group as well.
const OWN_PIDS: i64 = 8;
/// Processor time is handed out for so long at a time: what the kernel does on its own.
const PERIOD: f64 = 100_000.0;
/// Processes that were killed take a moment to go.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// A group in every hierarchy; must be removed.
#[derive(Debug)]
pub(crate) struct Group {
    directories: Vec<PathBuf>,
    memory: Option<PathBuf>,
    version: Version,
}

impl Group {
    /// Makes it, with `bounds`.
    pub(super) fn create(
        cgroups: &Cgroups,
        name: &str,
        bounds: Option<Bounds>,
    ) -> io::Result<Self> {
        let below = |parent: &Option<PathBuf>| parent.as_ref().map(|parent| parent.join(name));
        let mut group = Self {
            directories: Vec::new(),
            memory: below(&cgroups.memory),
            version: cgroups.version,
        };
        match group.fill(cgroups, name, bounds) {
            Ok(()) => Ok(group),
            Err(error) => {
                group.remove_now();
                Err(error)
            }
        }
    }

    fn fill(&mut self, cgroups: &Cgroups, name: &str, bounds: Option<Bounds>) -> io::Result<()> {
        for parent in cgroups.parents() {
            let directory = parent.join(name);
            match fs::create_dir(&directory) {
                Ok(()) => {}
                // Of a process with our number that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            self.directories.push(directory);
        }
        let Some(bounds) = bounds else { return Ok(()) };
        for (parent, settings) in [
            (&cgroups.memory, self.memory(bounds)),
            (&cgroups.pids, pids(bounds)),
            (&cgroups.cpu, self.cpu(bounds)),
        ] {
            let Some(parent) = parent else { continue };
            for setting in settings {
                let path = parent.join(name).join(setting.file);
                if setting.optional && !path.exists() {
                    continue;
                }
                fs::write(path, setting.value)?;
            }
        }
        Ok(())
    }

    fn memory(&self, bounds: Bounds) -> Vec<Setting> {
        let bytes = bounds.memory.to_string();
        match self.version {
            // In version 1 the second is of memory and swap together. Kernels without swap have neither.
            Version::V1 => vec![
                Setting::new("memory.limit_in_bytes", bytes.clone()),
                Setting::optional("memory.memsw.limit_in_bytes", bytes),
            ],
            Version::V2 => vec![
                Setting::new("memory.max", bytes),
                Setting::optional("memory.swap.max", "0".to_owned()),
            ],
        }
    }

    fn cpu(&self, bounds: Bounds) -> Vec<Setting> {
        let machine = std::thread::available_parallelism().map_or(1, usize::from);
        #[allow(clippy::cast_precision_loss, reason = "no machine has so many cores")]
        if bounds.cores >= machine as f64 {
            return Vec::new();
        }
        let quota = format!("{:.0}", bounds.cores * PERIOD);
        match self.version {
            Version::V1 => vec![
                Setting::new("cpu.cfs_period_us", format!("{PERIOD:.0}")),
                Setting::new("cpu.cfs_quota_us", quota),
            ],
            Version::V2 => vec![Setting::new("cpu.max", format!("{quota} {PERIOD:.0}"))],
        }
    }

    /// Puts the process `pid` into it, and with it what it starts from then on.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        self.directories
            .iter()
            .try_for_each(|directory| fs::write(directory.join("cgroup.procs"), pid.to_string()))
    }

    /// How many of its processes the kernel killed for want of memory.
    pub(crate) fn killed(&self) -> u64 {
        let Some(memory) = &self.memory else { return 0 };
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = fs::read_to_string(memory.join(file)).unwrap_or_default();
        counted(&text)
    }

    /// Removes it, once its processes are gone.
    pub(crate) async fn remove(mut self) {
        let start = tokio::time::Instant::now();
        while !self.try_remove() && start.elapsed() < PATIENCE {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Removes it if it has no processes; else the next sweep does.
    pub(crate) fn remove_now(mut self) {
        self.try_remove();
    }

    fn try_remove(&mut self) -> bool {
        self.directories.retain(|directory| still_there(directory));
        self.directories.is_empty()
    }
}

fn still_there(directory: &Path) -> bool {
    match fs::remove_dir(directory) {
        Ok(()) => false,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn pids(bounds: Bounds) -> Vec<Setting> {
    let value = bounds.pids.saturating_add(OWN_PIDS).to_string();
    vec![Setting::new("pids.max", value)]
}

fn counted(events: &str) -> u64 {
    events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

struct Setting {
    file: &'static str,
    value: String,
    optional: bool,
}

impl Setting {
    fn new(file: &'static str, value: String) -> Self {
        Self {
            file,
            value,
            optional: false,
        }
    }

    fn optional(file: &'static str, value: String) -> Self {
        Self {
            optional: true,
            ..Self::new(file, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_both_versions() {
        assert_eq!(counted("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 3);
        assert_eq!(counted("low 0\noom 2\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(counted(""), 0);
    }

    #[test]
    fn a_group_of_version_2_has_its_settings_in_one_directory() {
        let top = tempfile::tempdir().unwrap();
        let parent = Some(top.path().to_owned());
        let cgroups = Cgroups {
            version: Version::V2,
            memory: parent.clone(),
            pids: parent.clone(),
            cpu: parent,
            why: None,
        };
        let bounds = Bounds {
            cores: 0.25,
            memory: 1 << 20,
            pids: 10,
        };
        let group = Group::create(&cgroups, "one", Some(bounds)).unwrap();
        let read = |name: &str| fs::read_to_string(top.path().join("one").join(name)).unwrap();
        assert_eq!(read("memory.max"), "1048576");
        assert_eq!(read("pids.max"), "18");
        assert_eq!(read("cpu.max"), "25000 100000");
        assert_eq!(group.directories.len(), 1);
        group.add(42).unwrap();
        assert_eq!(read("cgroup.procs"), "42");
    }
}
