//! Removes what killed runs left in the engine.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bollard::query_parameters::ListVolumesOptionsBuilder;

use crate::docker::Docker;
use crate::docker::error::engine;
use crate::docker::keep;
use crate::docker::scope::{LABEL_LOCK, LABEL_RUNS, remove};
use crate::docker::tools::is_kept;
use crate::error::{Result, io};
use crate::run_lock::DeadRun;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Containers that dead runs left.
    pub containers: usize,
    /// Volumes that dead runs left.
    pub volumes: usize,
    /// Lock files of dead runs.
    pub runs: usize,
}

#[derive(Default)]
struct Leftovers {
    containers: Vec<String>,
    volumes: Vec<String>,
}

impl Docker {
    /// Removes the containers and volumes of runs that died, `kill -9` included. What belongs to a live process,
    /// or to a runs directory other than this one's, is not touched.
    pub async fn sweep(&self) -> Result<SweepReport> {
        let shared = &self.shared;
        let runs = shared.lock.directory();
        let label = format!("{LABEL_RUNS}={}", runs.identity());
        let filters = HashMap::from([("label", vec![label.clone()])]);
        let volumes = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let (containers, volumes) = tokio::try_join!(
            shared.questions.containers(&label),
            shared.client.list_volumes(Some(volumes)),
        )
        .map_err(engine("list containers and volumes"))?;
        let volumes = volumes.volumes.unwrap_or_default();

        let mut owners: BTreeMap<PathBuf, Leftovers> = BTreeMap::new();
        for container in containers {
            let mut names = container.names.iter().flatten();
            if names.any(|name| keep::is_kept(name)) {
                continue;
            }
            let lock = container
                .labels
                .and_then(|mut labels| labels.remove(LABEL_LOCK));
            if let Some(lock) = lock {
                let owner = owners.entry(lock.into()).or_default();
                owner.containers.push(container.id);
            }
        }
        for volume in volumes.iter().filter(|volume| !is_kept(volume, &volumes)) {
            if let Some(lock) = volume.labels.get(LABEL_LOCK) {
                let owner = owners.entry(lock.into()).or_default();
                owner.volumes.push(volume.name.clone());
            }
        }
        // Runs that died with nothing in the engine have a lock file still.
        let lock_files = runs.lock_files().map_err(io("list the lock files"))?;
        for lock in lock_files {
            owners.entry(lock).or_default();
        }

        let mut report = SweepReport::default();
        for (lock, left) in owners {
            let claimed = runs.claim(&lock);
            let claimed = claimed.map_err(io(format!("try the lock {}", lock.display())))?;
            let Some(dead) = claimed else { continue };
            self.clean_up(&left, dead, &mut report).await?;
        }
        Ok(report)
    }

    async fn clean_up(
        &self,
        left: &Leftovers,
        dead: DeadRun,
        report: &mut SweepReport,
    ) -> Result<()> {
        report.containers += remove(&self.shared, &left.containers, &[]).await;
        report.volumes += remove(&self.shared, &[], &left.volumes).await;
        if dead
            .forget()
            .map_err(io("delete the lock file of a dead run"))?
        {
            report.runs += 1;
        }
        Ok(())
    }
}
