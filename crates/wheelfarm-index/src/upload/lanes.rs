//! How many uploads are worked on at a time: bounded by what they hold in memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::Problem;

/// Memory for all checks that run at the same time, in MiB. One that needs more has all of it to itself.
const ALL: u32 = 1024;
/// What a check holds at the least: a window of unpacked members, the directory and RECORD.
const LEAST: u32 = 128;

/// Places for work on the processor, which never runs on the threads that serve requests.
#[derive(Debug, Clone)]
pub(crate) struct Lanes(Arc<Semaphore>);

impl Default for Lanes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL as usize)))
    }
}

impl Lanes {
    /// Does `work` when there is room for it; `bytes` is the largest thing that it holds in memory.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: u64,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let lane = self.lane(bytes).await?;
        let done = spawn_blocking(move || {
            let outcome = work();
            drop(lane);
            outcome
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "checking an upload failed");
            Err(broken())
        })
    }

    async fn lane(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Problem> {
        let mebibytes = u32::try_from(bytes >> 20).unwrap_or(ALL);
        let cost = LEAST.saturating_add(mebibytes).min(ALL);
        let lane = Arc::clone(&self.0).acquire_many_owned(cost).await;
        lane.map_err(|_| broken())
    }
}

fn broken() -> Problem {
    Problem::new(
        http::StatusCode::INTERNAL_SERVER_ERROR,
        "this is a bug in wheelfarm",
    )
}
