//! Removes what killed runs left: directories and cgroups. Their processes ended with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Result, io};
use crate::sandbox::Sandbox;
use crate::sandbox::place::{ACTIONS, MAKING};

/// What a sweep of the sandbox removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SandboxSweep {
    /// Directories that dead runs left.
    pub directories: usize,
    /// Lock files of dead runs.
    pub runs: usize,
}

impl Sandbox {
    /// Removes what runs left that died, `kill -9` included. What belongs to a live process is not touched.
    pub async fn sweep(&self) -> Result<SandboxSweep> {
        let shared = &self.shared;
        let runs = shared.lock.directory();
        let mut owners: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for parent in [ACTIONS, MAKING] {
            for name in shared.names_in(parent)? {
                if let Some((run, _)) = name.rsplit_once('-') {
                    let left = owners.entry(runs.lock_file(run)).or_default();
                    left.push(Path::new(parent).join(&name));
                }
            }
        }
        // Runs that died with nothing here have a lock file still.
        for lock in runs.lock_files().map_err(io("list the lock files"))? {
            owners.entry(lock).or_default();
        }
        let mut report = SandboxSweep::default();
        for (lock, left) in owners {
            let claimed = runs.claim(&lock);
            let claimed = claimed.map_err(io(format!("try the lock {}", lock.display())))?;
            let Some(dead) = claimed else { continue };
            for path in left {
                // Its owner may have removed it in the meantime, and ended in order.
                let was_there = shared.absolute(&path).exists();
                shared.remove(&path).await;
                let is_gone = !shared.absolute(&path).exists();
                report.directories += usize::from(was_there && is_gone);
            }
            let run = lock.file_stem().unwrap_or_default().to_string_lossy();
            shared.machine.sweep_cgroups(&run);
            if dead
                .forget()
                .map_err(io("delete the lock file of a dead run"))?
            {
                report.runs += 1;
            }
        }
        Ok(report)
    }
}
