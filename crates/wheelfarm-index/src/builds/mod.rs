//! Builds on demand: a queue of what was asked for, what happens in each build, and the addresses to follow it.
//!
//! Who really builds is behind [`Builder`], since the server knows nothing of containers. What is here lives as long as
//! the process: a restart forgets the queue. What was built is in the store, so a build that is asked for again goes on
//! where the last one was.

mod api;
mod build;
mod feed;
mod on_demand;
mod queue;
mod request;
mod sse;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::Observer;
use wheelfarm_types::{Digest, ProjectName, WheelFilename};

use crate::App;

pub(crate) use api::{not_started, serving, wheels};
pub(crate) use on_demand::on_demand;

pub use build::{Build, BuildId, BuildState, JobPhase, JobView};
pub use queue::{BuildSettings, Builds, StartError, Started};
pub use request::{BuildRequest, RequestError, parse_cell};

/// Who builds: the program has one for a container engine, tests have one that pretends.
pub trait Builder: Send + Sync {
    /// What can be built for: cells such as `cp311-manylinux_2_36_x86_64`, in the order in which they are preferred. Of
    /// builds that name none these are the default.
    fn cells(&self) -> BoxFuture<'_, Result<Vec<String>, BuildFailure>>;

    /// Builds what `request` asks for, until it is done or `cancel` fires. Events go to `observer` as they happen.
    fn build<'a>(
        &'a self,
        request: &'a BuildRequest,
        observer: Observer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<BuildOutcome, BuildFailure>>;

    /// The log that the store has of the last build of `job`, as events name it: `<project> <version> <cell>`.
    fn log<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Option<Digest>>;
}

/// What came of a build that ran to its end. Packages may have failed all the same.
#[derive(Debug, Clone, Default)]
pub struct BuildOutcome {
    /// The report of `wheelfarm build --format json`.
    pub report: Value,
    /// What `wheelfarm build` would have ended with: 0 if nothing failed.
    pub exit: u8,
    /// One line for each thing that failed.
    pub failures: Vec<String>,
    /// Every wheel, each once, however many cells it is for. Their bytes are in the store.
    pub wheels: Vec<FarmWheel>,
    /// Logs of what failed, by job.
    pub logs: BTreeMap<String, Digest>,
}

/// A wheel of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarmWheel {
    /// Whose.
    pub project: ProjectName,
    /// Its name.
    pub filename: WheelFilename,
    /// Its bytes.
    pub blob: Digest,
    /// How many they are.
    pub size: u64,
    /// Whether the farm built it, now or before; others are of the index that the farm asks.
    pub is_ours: bool,
}

/// Why nothing could be built at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BuildFailure {
    /// What is true.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What `wheelfarm build` would have ended with.
    pub exit: u8,
}

/// The addresses of this part.
pub(crate) fn routes() -> Router<Arc<App>> {
    api::routes()
}
