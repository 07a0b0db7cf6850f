//! Runs an action on the cluster, from the question whether it ever did to its outputs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{
    Action, ActionResult, Executor, ExecutorError, ExecutorErrorKind, Listener, Place,
};
use wheelfarm_build::pipeline::Capacity;
use wheelfarm_reapi::{ErrorKind, ExecuteOptions, Progress};

use super::inputs::{self, Packed};
use super::outcome::{Fetching, failed, fetch, is_success, timed_out};
use super::{Reapi, Shared};
use crate::error::{Result, cancelled, hinted};

/// How often an action is tried for which the storage had lost something.
const ATTEMPTS: usize = 3;
/// What a worker may need beside the command's time: to fetch a root file system of gigabytes, and to send the outputs.
const AROUND: Duration = Duration::from_secs(30 * 60);

impl Executor for Reapi {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        listener: Listener,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ActionResult, ExecutorError>> {
        until_cancelled(&self.shared, action, false, listener, cancel).boxed()
    }

    fn run_anew<'a>(
        &'a self,
        action: &'a Action,
        listener: Listener,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ActionResult, ExecutorError>> {
        until_cancelled(&self.shared, action, true, listener, cancel).boxed()
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, ExecutorError>> {
        let settings = &self.shared.settings;
        let capacity = Capacity {
            slots: settings.jobs,
            cores: settings.cores,
            memory: u64::MAX,
            each: Some(settings.cores),
        };
        async move { Ok(capacity) }.boxed()
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn started(&self) -> u64 {
        self.shared.started.load(Ordering::Relaxed)
    }

    fn hits(&self) -> Option<u64> {
        Some(self.shared.hits.load(Ordering::Relaxed))
    }
}

async fn until_cancelled(
    shared: &Shared,
    action: &Action,
    anew: bool,
    listener: Listener,
    cancel: &CancellationToken,
) -> Result<ActionResult> {
    let run = run(shared, action, anew, &listener, cancel).boxed();
    // Whatever it waits for: the client takes an action back when its future is dropped.
    match cancel.run_until_cancelled(run).await {
        Some(result) => result,
        None => Err(cancelled(&action.name)),
    }
}

/// Runs the action, `anew` even if there is a result of it.
async fn run(
    shared: &Shared,
    action: &Action,
    mut anew: bool,
    listener: &Listener,
    cancel: &CancellationToken,
) -> Result<ActionResult> {
    let image = shared.images.get(&action.image)?;
    let packed = inputs::pack(shared, action, image, cancel).await?;
    if !anew {
        anew = match cached(shared, action, &packed, listener).await? {
            Cached::Result(result) => return Ok(*result),
            Cached::Nothing => false,
            Cached::OfNoUse => true,
        };
    }
    (listener.place)(Place::Sending);
    inputs::send(shared, &packed, &listener.log, cancel).await?;
    for _ in 1..ATTEMPTS {
        let result = execute(shared, action, &packed, anew, listener, cancel).await;
        let is_void = match &result {
            Err(Fetching::Void) => true,
            Err(Fetching::Client(error)) => match error.kind {
                ErrorKind::MissingBlobs(_) => true,
                // Engines seldom say that inputs are missing, and then each in its own words: the storage itself is
                // asked.
                ErrorKind::Infrastructure | ErrorKind::Refused => {
                    inputs::is_incomplete(shared, &packed).await?
                }
                _ => false,
            },
            _ => false,
        };
        if !is_void {
            return ended(shared, action, result, listener).await;
        }
        (listener.place)(Place::Sending);
        inputs::send(shared, &packed, &listener.log, cancel).await?;
        anew = true;
    }
    let result = execute(shared, action, &packed, anew, listener, cancel).await;
    if matches!(result, Err(Fetching::Client(_))) && inputs::is_incomplete(shared, &packed).await? {
        return Err(forgetful(action));
    }
    ended(shared, action, result, listener).await
}

/// The error of an action whose inputs are forgotten while it runs, each time.
fn forgetful(action: &Action) -> ExecutorError {
    hinted(
        ExecutorErrorKind::Engine,
        format!(
            "the cluster's storage forgot inputs of `{}` while it ran, {ATTEMPTS} times",
            action.name
        ),
        "It needs more room: for all root file systems that are in use, and the inputs and outputs of all actions in flight.",
    )
}

/// What the action cache has.
enum Cached {
    Result(Box<ActionResult>),
    Nothing,
    /// A failure, or outputs that are gone.
    OfNoUse,
}

async fn cached(
    shared: &Shared,
    action: &Action,
    packed: &Packed,
    listener: &Listener,
) -> Result<Cached> {
    let result = match shared.client.cached(&packed.encoded.action).await {
        Ok(Some(result)) => result,
        Ok(None) => return Ok(Cached::Nothing),
        // Some engines do not let everybody look: when they are to execute, they look themselves.
        Err(error) if matches!(error.kind, ErrorKind::Refused | ErrorKind::Unauthorized) => {
            return Ok(Cached::Nothing);
        }
        Err(error) => return Err(failed(error)),
    };
    if !is_success(&result) {
        return Ok(Cached::OfNoUse);
    }
    let sink = Arc::clone(&listener.log);
    match fetch(&shared.client, action, &result, true, sink).await {
        Ok(result) => {
            shared.hits.fetch_add(1, Ordering::Relaxed);
            Ok(Cached::Result(Box::new(result)))
        }
        Err(Fetching::Client(error)) if error.kind == ErrorKind::Unreachable => Err(failed(error)),
        // Whoever wrote it, a run can do better.
        Err(_) => Ok(Cached::OfNoUse),
    }
}

/// Has the action executed, `anew` whatever the action cache says, and fetches what it left. That counts only if all its
/// inputs are in storage after its end.
async fn execute(
    shared: &Shared,
    action: &Action,
    packed: &Packed,
    anew: bool,
    listener: &Listener,
    cancel: &CancellationToken,
) -> Result<ActionResult, Fetching> {
    let settings = &shared.settings;
    let options = ExecuteOptions {
        skip_cache_lookup: anew,
        priority: settings.priority,
        deadline_in_queue: settings.queue_timeout,
        deadline: settings.queue_timeout + action.limits.time + AROUND,
    };
    let observe = |progress: Progress| match progress {
        Progress::CacheCheck | Progress::Queued => (listener.place)(Place::Queued),
        Progress::Executing { worker } => {
            let name = Some(worker).filter(|worker| !worker.is_empty());
            (listener.place)(Place::Worker(name));
        }
        Progress::Completed => {}
    };
    let executed = shared
        .client
        .execute(&packed.encoded.action, &options, &observe, cancel)
        .await?;
    if executed.cached && anew {
        return Err(Fetching::Failed(hinted(
            ExecutorErrorKind::Engine,
            format!(
                "the cluster was asked to run `{}` again, and gave the result of an earlier run",
                action.name
            ),
            "Its action cache has a result that is of no use: whoever runs the cluster can remove it.",
        )));
    }
    if executed.cached && !is_success(&executed.result) {
        // The failure of another run, which may have been its worker's.
        let again = execute(shared, action, packed, true, listener, cancel);
        return Box::pin(again).await;
    }
    if executed.cached {
        shared.hits.fetch_add(1, Ordering::Relaxed);
    } else {
        shared.started.fetch_add(1, Ordering::Relaxed);
    }
    let sink = Arc::clone(&listener.log);
    let fetched = fetch(
        &shared.client,
        action,
        &executed.result,
        executed.cached,
        sink,
    );
    // It has ended, so both can be asked at once.
    let (fetched, is_incomplete) = join(fetched, inputs::is_incomplete(shared, packed)).await;
    if is_incomplete.map_err(Fetching::Failed)? {
        return Err(Fetching::Void);
    }
    fetched
}

/// What is told of how an action ended.
async fn ended(
    shared: &Shared,
    action: &Action,
    result: Result<ActionResult, Fetching>,
    listener: &Listener,
) -> Result<ActionResult> {
    let error = match result {
        Ok(result) => return Ok(result),
        Err(Fetching::Failed(error)) => return Err(error),
        Err(Fetching::Void) => return Err(forgetful(action)),
        Err(Fetching::Client(error)) => error,
    };
    match error.kind {
        ErrorKind::TimedOut(partial) => {
            let sink = Arc::clone(&listener.log);
            Ok(timed_out(&shared.client, action, partial.as_deref(), sink).await)
        }
        ErrorKind::Cancelled => Err(hinted(
            ExecutorErrorKind::Lost,
            format!("the cluster cancelled `{}`: {}", action.name, error.message),
            "Somebody else did: its operator, or its own limits.",
        )),
        _ => {
            let source = failed(error);
            Err(ExecutorError {
                message: format!("`{}`: {}", action.name, source.message),
                ..source
            })
        }
    }
}
