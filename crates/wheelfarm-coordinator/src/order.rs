//! The order of jobs of one source: the lowest Python first, where its wheel may serve the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::pipeline::{self, Choice, Context, Job};
use wheelfarm_types::Digest;

/// Before a job begins, and after it has ended.
#[derive(Debug, Default, Clone)]
pub(crate) struct Gates {
    /// Fires when the job that this one waits for has ended.
    wait_for: Option<CancellationToken>,
    /// Fires when this job has ended, whatever came of it.
    opens: Option<Arc<tokio_util::sync::DropGuard>>,
}

impl Gates {
    /// Waits for the job that goes first, if there is one.
    pub(crate) async fn pass(&self) {
        if let Some(gate) = &self.wait_for {
            gate.cancelled().await;
        }
    }
}

/// Gates for each of `jobs`. Jobs of one source distribution in one builder image, for several Pythons, wait for the
/// lowest of them whose wheel may serve the others; lower ones wait for nobody, and neither does any if none may.
/// One job goes first, not each in turn: a wrong guess costs the time of one build.
pub(crate) async fn gates(context: &Context, jobs: &[&Job]) -> Vec<Gates> {
    let mut groups: BTreeMap<(Digest, &str), Vec<usize>> = BTreeMap::new();
    for (index, job) in jobs.iter().enumerate() {
        let fits = job
            .package
            .best_wheel(job.cell.python, job.cell.target)
            .is_some();
        if let Some(sdist) = &job.package.sdist
            && (job.choice == Choice::FromSource || !fits)
        {
            let group = (sdist.sha256, job.cell.image.name.as_str());
            groups.entry(group).or_default().push(index);
        }
    }
    let python = |index: &usize| jobs.get(*index).map(|job| job.cell.python);
    let mut several: Vec<Vec<usize>> = groups.into_values().collect();
    several.retain_mut(|group| {
        group.sort_by_key(python);
        group.iter().map(python).min() != group.iter().map(python).max()
    });
    let leaders = several.iter().map(|group| leader(context, jobs, group));
    let leaders = join_all(leaders).await;
    let mut gates = vec![Gates::default(); jobs.len()];
    for (group, leader) in several.iter().zip(leaders) {
        let Some(leader) = leader else { continue };
        let token = CancellationToken::new();
        for index in group {
            if python(index) > python(&leader)
                && let Some(gate) = gates.get_mut(*index)
            {
                gate.wait_for = Some(token.clone());
            }
        }
        if let Some(gate) = gates.get_mut(leader) {
            gate.opens = Some(Arc::new(token.drop_guard()));
        }
    }
    gates
}

/// The job of `group`, which is in order of Pythons, that the others wait for. The last needs no waiting for.
async fn leader(context: &Context, jobs: &[&Job], group: &[usize]) -> Option<usize> {
    let (_, but_last) = group.split_last()?;
    for index in but_last {
        let job = jobs.get(*index)?;
        // One whose source cannot be had or read fails by itself, and says so.
        if pipeline::may_be_shared(context, job).await.unwrap_or(false) {
            return Some(*index);
        }
    }
    None
}
