//! Work that goes on when its caller has stopped waiting, until it has cleaned up after itself.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wheelfarm_build::action::ExecutorErrorKind;

use crate::error::{Result, error};

/// Runs `work` in a task of its own and waits for it. When the caller drops this future, `work` goes on until it
/// notices its token: what it asked for is never abandoned half way, since nobody would know whether it is there.
pub(crate) async fn supervise<T, F>(
    tasks: &TaskTracker,
    cancel: &CancellationToken,
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let token = cancel.child_token();
    let _cancelled_on_drop = token.clone().drop_guard();
    let task = tasks.spawn(work(token));
    task.await.unwrap_or_else(|source| {
        let message = format!("work of the executor broke off: {source}");
        Err(error(ExecutorErrorKind::Engine, message))
    })
}
