//! Executing actions.

mod cancel;
mod follow;
mod outcome;

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::calls::At;
use crate::client::Client;
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error, hinted};
use crate::patience::later;
use crate::result::ActionResult;
use cancel::Running;
use follow::Following;

/// How long we wait for the name of an operation that is to be cancelled.
const NAMING: Duration = Duration::from_secs(2);

/// How an action is to be executed.
#[derive(Debug, Clone)]
pub struct ExecuteOptions {
    /// Do it even if the action cache has a result.
    pub skip_cache_lookup: bool,
    /// Lower is sooner (`ExecutionPolicy.priority`); zero is the server's default.
    pub priority: i32,
    /// How long no worker may take it. Servers that do not tell stages cannot be held to it.
    pub deadline_in_queue: Duration,
    /// How long all of it may take, with queue, transfer of inputs and outages.
    pub deadline: Duration,
}

/// How far an action is. Servers need not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The action cache is being asked.
    CacheCheck,
    /// It waits for a worker, perhaps again: the worker that had it may have died.
    Queued,
    /// A worker has it.
    Executing {
        /// Its name, if the server says it; otherwise empty.
        worker: String,
    },
    /// It is done; the result is on its way.
    Completed,
}

/// An action that was executed, or found done.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// What it came to.
    pub result: ActionResult,
    /// Whether it came from the action cache.
    pub cached: bool,
    /// What the server called it, last.
    pub operation: String,
    /// How often it was handed in: more than once if the server forgot it.
    pub attempts: u32,
    /// How often the connection broke and we went on following it.
    pub reconnections: u32,
    /// What the server said about it, for people. Often empty.
    pub message: String,
}

impl Client {
    /// Executes an action, whose inputs are in storage, and waits until it is done (`Execute`, `WaitExecution`). Only a
    /// command that ran to its end is an `Ok`, whatever its exit code.
    ///
    /// `observe` hears of every change. When `cancel` is cancelled, a deadline passes, or the future is dropped, the
    /// action is cancelled (`CancelOperation`).
    pub async fn execute(
        &self,
        action: &BlobDigest,
        options: &ExecuteOptions,
        observe: &(dyn Fn(Progress) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Executed, Error> {
        let cancelled = || {
            error(
                ErrorKind::Cancelled,
                format!(
                    "cancelled: action {action} at {}",
                    self.address(At::Execution)
                ),
            )
        };
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let deadline = later(Instant::now(), options.deadline);
        let running = Running::new(self.clone());
        let mut following = pin!(Following::new(self, action, options, observe, &running).run());
        let stop = tokio::select! {
            biased;
            () = cancel.cancelled() => cancelled(),
            outcome = &mut following => {
                if outcome.is_err() {
                    running.cancel().await;
                }
                return outcome;
            }
            () = sleep_until(deadline) => hinted(
                ErrorKind::Overdue,
                format!(
                    "action {action} was not done at {} after {} seconds, and was cancelled",
                    self.address(At::Execution),
                    options.deadline.as_secs()
                ),
                "Look at the server whether it still runs; inputs may take long to get to its workers.",
            ),
        };
        // What was handed in a moment ago can be cancelled once its name is known, which takes another moment.
        if running.name().is_none() {
            tokio::select! {
                _ = &mut following => {}
                () = running.known() => {}
                () = sleep(NAMING) => {}
            }
        }
        running.cancel().await;
        Err(stop)
    }
}
