//! What this machine allows, found out by trying it.

mod describe;
mod ids;
mod runtime;
mod start;
mod way_out;
mod why;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::pipeline::Capacity;

pub use ids::{Extent, Ids};
pub use runtime::Runtime;
pub(crate) use runtime::complaint;

use crate::error::{Result, hinted, io};
use crate::sandbox::bundle::Network;
use crate::sandbox::cgroup::{self, Cgroups};
use crate::sandbox::launch::{Bounds, Container, Launcher, Work};
use crate::sandbox::place::MAKING;

/// A command that no root has: a runtime that cannot find it has done everything else.
const ABSENT: &str = "/wheelfarm-trial";

/// A machine on which containers run.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What runs containers.
    pub runtime: Runtime,
    /// Which users stand for those in the sandbox.
    pub ids: Ids,
    /// What bounds containers.
    pub cgroups: Cgroups,
    /// The program that leads containers with network out of their namespace; else what to do to have one.
    pub way_out: std::result::Result<PathBuf, String>,
    /// Why there are no better ids.
    ids_note: Option<String>,
    launcher: Launcher,
}

impl Machine {
    /// Tries in the sandbox's directory what this machine allows, and takes the best. What it tries this with belongs to
    /// `run`, whose lock is taken: nobody sweeps it.
    ///
    /// If nothing works, the error says what forbids it, and the hint what to do about it.
    pub(crate) async fn probe(launcher: &Launcher, directory: &Path, run: &str) -> Result<Self> {
        let runtimes = Runtime::find().await;
        if runtimes.is_empty() {
            return Err(hinted(
                ExecutorErrorKind::EngineUnavailable,
                "no OCI runtime is installed: neither crun nor runc",
                "install one, say Debian's or Fedora's package crun",
            ));
        }
        let candidates = ids::candidates();
        let mut note = candidates.note;
        let mut failures = Vec::new();
        for ids in candidates.ids {
            let mut machine = Self {
                runtime: runtimes[0].clone(),
                ids,
                cgroups: Cgroups::none("not tried yet".to_owned()),
                way_out: way_out::find(),
                ids_note: None,
                launcher: launcher.clone(),
            };
            if let Err(error) = machine.try_namespaces(directory, run).await {
                if !failures.contains(&error.message) {
                    failures.push(error.message);
                }
                continue;
            }
            if !failures.is_empty() {
                note = Some(failures.join("; "));
            }
            machine.ids_note = note;
            machine.cgroups = Cgroups::probe(&trial_name(run));
            machine.try_runtimes(directory, run, runtimes).await?;
            return Ok(machine);
        }
        Err(why::forbidden(&failures))
    }

    /// The machine's user and group that are root in the sandbox. They own its directory.
    pub(crate) fn owner(&self) -> (u32, u32) {
        self.ids.owner()
    }

    /// Whether there is more than one user and one group in the sandbox.
    pub fn maps_several_ids(&self) -> bool {
        !matches!(self.ids, Ids::Single { .. })
    }

    /// How much there is for actions: what our own control group allows counts.
    pub fn capacity(&self) -> Capacity {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        let text = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = total_memory(&text).unwrap_or(u64::MAX);
        Capacity {
            slots: cores,
            cores,
            memory: memory.min(cgroup::memory_limit().unwrap_or(u64::MAX)),
            each: None,
        }
    }

    /// Which network a container gets.
    pub(crate) fn network_of(&self, container: &Container) -> Network {
        match (container.network, &self.way_out) {
            (false, _) => Network::None,
            (true, Ok(_)) => Network::Translated,
            (true, Err(_)) => Network::Host,
        }
    }

    /// Removes the control groups of containers of `run`: their names begin with it and a `-`.
    pub(crate) fn sweep_cgroups(&self, run: &str) {
        self.cgroups.sweep(run);
    }

    async fn try_namespaces(&self, directory: &Path, run: &str) -> Result<()> {
        let place = Path::new(MAKING).join(trial_name(run));
        self.prepare(directory, &place)?;
        let work = Work::Trial {
            place: place.clone(),
        };
        let tried = self.to_the_end(directory, &work).await;
        self.clear(directory, place).await;
        tried
    }

    /// Takes the first runtime that gets as far as the command; else the error is that of the best one.
    pub(crate) async fn try_runtimes(
        &mut self,
        directory: &Path,
        run: &str,
        runtimes: Vec<Runtime>,
    ) -> Result<()> {
        let mut first = None;
        for runtime in runtimes {
            self.runtime = runtime;
            let mut tried = self.try_runtime(directory, run).await;
            if tried.is_err() && self.cgroups.version().is_some() {
                let without = Cgroups::none("containers do not start in one".to_owned());
                let with = std::mem::replace(&mut self.cgroups, without);
                tried = self.try_runtime(directory, run).await;
                if tried.is_err() {
                    self.cgroups = with;
                }
            }
            match tried {
                Ok(()) => return Ok(()),
                Err(error) => {
                    first.get_or_insert_with(|| why::unfit(&self.runtime, &error));
                }
            }
        }
        Err(first.unwrap_or_else(|| why::forbidden(&[])))
    }

    async fn try_runtime(&self, directory: &Path, run: &str) -> Result<()> {
        let name = trial_name(run);
        let place = Path::new(MAKING).join(&name);
        let container = Container {
            name,
            place: place.clone(),
            layers: Vec::new(),
            upper: None,
            binds: Vec::new(),
            tmpfs: Vec::new(),
            files: Vec::new(),
            command: vec![ABSENT.to_owned()],
            environment: vec!["PATH=/bin".to_owned()],
            directory: "/".to_owned(),
            user: 65532,
            network: false,
            limits: Some(Bounds {
                cores: 1.0,
                memory: 256 << 20,
                pids: 64,
            }),
        };
        let work = Work::Container(Box::new(container));
        let tried = self.to_the_end(directory, &work).await;
        self.clear(directory, place).await;
        match tried {
            Err(error) if !error.message.contains(ABSENT) => Err(error),
            // That it is not found is what was hoped for.
            _ => Ok(()),
        }
    }

    async fn clear(&self, directory: &Path, place: PathBuf) {
        let remove = Work::Remove { paths: vec![place] };
        // Where even this fails, an empty directory of a few files remains, and the trial has told more.
        self.to_the_end(directory, &remove).await.ok();
    }

    /// Makes `place` in the sandbox's directory, and hands it and those above it to root of the sandbox.
    pub(crate) fn prepare(&self, directory: &Path, place: &Path) -> Result<()> {
        let path = directory.join(place);
        fs_err::create_dir_all(&path).map_err(io("make a directory of the sandbox"))?;
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let (user, group) = self.owner();
        let depth = place.components().count();
        for path in path.ancestors().take(depth) {
            fs_err::os::unix::fs::chown(path, Some(user), Some(group))
                .map_err(io("hand a directory to the sandbox"))?;
        }
        Ok(())
    }
}

/// A name that no other trial on this machine has, nor anything else of `run`.
fn trial_name(run: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{run}-trial{number}")
}

/// The first line of `/proc/meminfo` counts in KiB.
fn total_memory(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_in_bytes() {
        let text = "MemTotal:       24684096 kB\nMemFree: 1 kB\n";
        assert_eq!(total_memory(text), Some(24_684_096 * 1024));
        assert_eq!(total_memory("MemFree: 1 kB\n"), None);
        assert_eq!(total_memory("MemTotal: many kB\n"), None);
    }
}
