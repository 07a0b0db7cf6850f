//! What is done to published files: promoted, yanked, deleted; and a project's status set.
//!
//! The same operations come from clients (`api.rs`) and from operators with the program. Each is decided from a state
//! (`decide.rs`) and becomes one entry of the log, or none if everything is as it is wanted.

mod api;
mod decide;
mod promote;
mod selection;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wheelfarm_types::ProjectName;

pub(crate) use self::api::routes;
pub use self::selection::{Selection, SelectionError, Which};
use crate::registry::{Actor, Channel, CommitError, ProjectStatus, Registry};
use crate::{Problem, Settings};

/// Something to do to what is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Publish files of a channel in another one: the same bytes under the same names.
    Promote {
        /// Where they are.
        from: Channel,
        /// Where they are to be as well.
        to: Channel,
        /// Which.
        what: Selection,
    },
    /// Yank files, or give another reason for it.
    Yank {
        /// Where.
        channel: Channel,
        /// Which.
        what: Selection,
        /// Why.
        reason: Option<String>,
    },
    /// Take a yank back.
    Unyank {
        /// Where.
        channel: Channel,
        /// Which.
        what: Selection,
    },
    /// Delete files. Their names stay used up.
    Delete {
        /// Where.
        channel: Channel,
        /// Which.
        what: Selection,
    },
    /// Set a project's status.
    SetStatus {
        /// Where.
        channel: Channel,
        /// Whose.
        project: ProjectName,
        /// What it is from now on.
        status: ProjectStatus,
    },
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Names of files that were changed; of a project, if its status was.
    pub changed: Vec<String>,
    /// Names of those that were as they were wanted.
    pub unchanged: Vec<String>,
}

/// Does `operation` as one entry of the log: all of it, or nothing. A refusal says which file stands against it.
pub async fn perform(
    registry: &Registry,
    settings: &Settings,
    by: &Actor,
    now: DateTime<Utc>,
    operation: &Operation,
) -> Result<Outcome, Problem> {
    let decided = registry
        .commit(by, now, |state| {
            decide::decide(state, settings, now, operation)
        })
        .await;
    decided.map_err(|error| match error {
        CommitError::Refused(problem) => problem,
        CommitError::Store(error) => error.into(),
    })
}
