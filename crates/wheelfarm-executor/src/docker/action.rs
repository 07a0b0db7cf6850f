//! Runs an action from its inputs to its outputs.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{
    Action, ActionResult, Executor, ExecutorError, ExecutorErrorKind, Exit, INPUT_DIR, Listener,
    LogSink,
};
use wheelfarm_build::pipeline::Capacity;

use crate::docker::compiler_cache;
use crate::docker::container::body;
use crate::docker::error::engine;
use crate::docker::inputs::{input_volume, volume_mount};
use crate::docker::keep;
use crate::docker::scope::Scope;
use crate::docker::tools;
use crate::docker::{Docker, Shared};
use crate::error::{Result, cancelled, error};
use crate::log::Log;
use crate::output::{self, Stdout, Trailer};

/// Exit codes of a container that a signal ended: the engine sends them when it is stopped.
const KILLED: i64 = 128 + 9;
const TERMINATED: i64 = 128 + 15;

/// How long a container that is kept may take to send the rest of its log.
const REST: Duration = Duration::from_millis(300);

impl Executor for Docker {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        listener: Listener,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ActionResult, ExecutorError>> {
        let owned = action.clone();
        self.supervise(cancel, |shared, cancel| async move {
            let mut scope = Scope::new(shared, owned.name.clone());
            let result = run(&mut scope, &owned, listener.log, &cancel).await;
            scope.close().await;
            result
        })
        .boxed()
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, ExecutorError>> {
        async move { self.shared.capacity().await }.boxed()
    }

    fn started(&self) -> u64 {
        Docker::started(self)
    }
}

async fn run(
    scope: &mut Scope,
    action: &Action,
    sink: LogSink,
    cancel: &CancellationToken,
) -> Result<ActionResult> {
    let (network, more) = scope.shared.network.of_action(action)?;
    let mut mounts = tools::mounts(scope, action, cancel).await?;
    let inputs = input_volume(scope, action, more, cancel).await?;
    mounts.push(volume_mount(&inputs, INPUT_DIR, true));
    let mut network = network;
    if let Some((mount, variables)) = compiler_cache::mount(scope, action, &sink, cancel).await {
        mounts.push(mount);
        network.extend(variables);
    }
    let capacity = scope.shared.capacity().await?;
    let flavour = scope.shared.flavour;
    if cancel.is_cancelled() {
        return Err(cancelled(&action.name));
    }
    let container = scope
        .container(body(action, network, mounts, capacity, flavour))
        .await?;
    let mut streams = Streams {
        stdout: Stdout::new(action.limits.output),
        log: Log::new(action.limits.log, sink),
    };
    let driven = drive(&scope.shared, action, &container, &mut streams);
    let driven = tokio::time::timeout(action.limits.time, driven);
    let ended = cancel
        .run_until_cancelled(driven)
        .await
        .ok_or_else(|| cancelled(&action.name))?;
    let mut lives = action.keep_failed && streams.stdout.says_failed();
    let mut result = if let Ok(ended) = ended {
        ended?;
        conclude(&scope.shared, action, &container, streams, lives).await?
    } else {
        if action.keep_failed {
            keep::freeze(scope, &container).await;
            lives = true;
        }
        ActionResult {
            exit: Exit::TimedOut,
            outputs: BTreeMap::new(),
            log: streams.log.finish(),
            kept: None,
            execution: None,
        }
    };
    if lives {
        result.kept = keep::keep(scope, &container).await;
    }
    Ok(result)
}

/// What the container sends.
struct Streams {
    stdout: Stdout,
    log: Log,
}

/// Starts the container and reads what it sends until it ends.
async fn drive(
    shared: &Shared,
    action: &Action,
    container: &str,
    streams: &mut Streams,
) -> Result<()> {
    let name = &action.name;
    let options = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdout(true)
        .stderr(true)
        .build();
    // Before the start, so that nothing is missed.
    let mut attached = shared
        .client
        .attach_container(container, Some(options))
        .await
        .map_err(engine(format!("attach to the container of `{name}`")))?;
    shared
        .client
        .start_container(container, None)
        .await
        .map_err(engine(format!("start the container of `{name}`")))?;
    shared.count_start();
    let mut failed = false;
    loop {
        let next = attached.output.next();
        let chunk = if failed {
            // It does not end: what it printed before it said so may still be on its way.
            let next = tokio::time::timeout(REST, next).await;
            next.unwrap_or_default()
        } else {
            next.await
        };
        let Some(chunk) = chunk else { break };
        match chunk.map_err(engine(format!("send the output of `{name}`")))? {
            LogOutput::StdOut { message } => streams
                .stdout
                .push(&message)
                .map_err(|detail| output::refused(action, &detail))?,
            LogOutput::StdErr { message } | LogOutput::Console { message } => {
                streams.log.push(&message);
            }
            LogOutput::StdIn { .. } => {}
        }
        failed = action.keep_failed && streams.stdout.says_failed();
    }
    Ok(())
}

/// Reads how it ended from what it sent, and from the engine where that is not enough. One that `lives`, to be kept,
/// has said how it failed.
async fn conclude(
    shared: &Shared,
    action: &Action,
    container: &str,
    streams: Streams,
    lives: bool,
) -> Result<ActionResult> {
    let (archive, trailer) = streams.stdout.finish();
    let exit = match &trailer {
        Some(Trailer { code: 0, .. }) => Exit::Code(0),
        Some(Trailer { killed: 1.., .. }) => Exit::OutOfMemory,
        Some(Trailer { code, .. }) if lives => Exit::Code(*code),
        _ => ended(shared, action, container, trailer.as_ref()).await?,
    };
    let outputs = match output::of_action(&archive, trailer.as_ref(), action) {
        // The failure of the command says more than that of its outputs.
        Err(_) if exit != Exit::Code(0) => BTreeMap::new(),
        outputs => outputs?,
    };
    Ok(ActionResult {
        exit,
        outputs,
        log: streams.log.finish(),
        kept: None,
        execution: None,
    })
}

/// How the engine says that the container ended.
async fn ended(
    shared: &Shared,
    action: &Action,
    container: &str,
    trailer: Option<&Trailer>,
) -> Result<Exit> {
    let what = || engine(format!("say how the container of `{}` ended", action.name));
    // Its output ends a moment before it does.
    let mut wait = std::pin::pin!(shared.client.wait_container(container, None));
    let code = match wait.next().await {
        Some(Ok(response)) => response.status_code,
        // This is how the client reports a code other than 0.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(source)) => return Err(what()(source)),
        None => 0,
    };
    let out_of_memory = shared.questions.was_out_of_memory(container).await;
    if out_of_memory.map_err(what())? {
        return Ok(Exit::OutOfMemory);
    }
    match trailer {
        Some(trailer) => Ok(Exit::Code(trailer.code)),
        None if code == 0 => Err(error(
            ExecutorErrorKind::Engine,
            format!(
                "the container of `{}` ended without saying how",
                action.name
            ),
        )),
        // The shell around the command lives until it has said how that ended, if it is not killed with everything.
        None if code == KILLED || code == TERMINATED => Err(error(
            ExecutorErrorKind::Lost,
            format!("the container of `{}` was ended from outside", action.name),
        )),
        None => Ok(Exit::Code(code)),
    }
}
