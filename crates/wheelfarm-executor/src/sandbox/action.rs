//! Runs an action from its inputs to its outputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{
    Action, ActionResult, Executor, ExecutorError, ExecutorErrorKind, Exit, INPUT_DIR, Listener,
    WORK_DIR,
};
use wheelfarm_build::pipeline::Capacity;

use crate::error::{Result, cancelled, error};
use crate::input_file;
use crate::log::Log;
use crate::output::{self, Stdout};
use crate::sandbox::compiler_cache;
use crate::sandbox::launch::{Bind, Bounds, Container, Ended, Tmpfs, Work};
use crate::sandbox::place::{ACTIONS, Place};
use crate::sandbox::shelf;
use crate::sandbox::streams::{self, merged};
use crate::sandbox::{Sandbox, keep};
use crate::wrapper::{self, USER};

impl Executor for Sandbox {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        listener: Listener,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ActionResult, ExecutorError>> {
        let owned = action.clone();
        self.supervise(cancel, |shared, cancel| async move {
            let mut place = Place::new(shared, ACTIONS)?;
            let result = run(&mut place, &owned, &listener, &cancel).await;
            place.close().await;
            result
        })
        .boxed()
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, ExecutorError>> {
        std::future::ready(Ok(self.shared.machine.capacity())).boxed()
    }

    fn started(&self) -> u64 {
        self.shared.started()
    }
}

async fn run(
    place: &mut Place,
    action: &Action,
    listener: &Listener,
    cancel: &CancellationToken,
) -> Result<ActionResult> {
    let shared = Arc::clone(&place.shared);
    let container = container(place, action, listener, cancel).await?;
    if cancel.is_cancelled() {
        return Err(cancelled(&action.name));
    }
    let work = Work::Container(Box::new(container));
    let running = shared.machine.start(&shared.directory, &work).await?;
    shared.count_start();
    let mut stdout = Stdout::new(action.limits.output);
    let mut log = Log::new(action.limits.log, Arc::clone(&listener.log));
    let streams = (&mut stdout, &mut log);
    let limit = action.limits.time;
    let ended = streams::to_the_end(&action.name, running, streams, limit, cancel).await?;
    let mut result = match ended {
        Some(ended) => conclude(action, stdout, log, &ended)?,
        None => ActionResult {
            exit: Exit::TimedOut,
            outputs: BTreeMap::new(),
            log: log.finish(),
            kept: None,
            execution: None,
        },
    };
    if action.keep_failed && result.exit != Exit::Code(0) {
        result.kept = keep::keep(place, &work);
    }
    Ok(result)
}

/// The container of `action`, with everything that it is to find in place.
async fn container(
    place: &mut Place,
    action: &Action,
    listener: &Listener,
    cancel: &CancellationToken,
) -> Result<Container> {
    let shared = &Arc::clone(&place.shared);
    let image = shared.root_of(&action.image)?;
    place.hold(image.held);
    let (mut variables, more) = shared.network.of_action(action)?;
    let mut binds = shelf::binds(shared, action, cancel).await?;
    let inputs = input_file::of_action(action, more);
    shared
        .write(&place.join("in"), inputs, &action.name, cancel)
        .await?;
    binds.push(Bind {
        source: place.join("in"),
        target: INPUT_DIR.to_owned(),
        read_only: true,
    });
    let cache = compiler_cache::bind(shared, action, &listener.log, cancel).await;
    if let Some((bind, more)) = cache {
        binds.push(bind);
        variables.extend(more);
    }
    let limits = &action.limits;
    let mut tmpfs = vec![Tmpfs {
        target: "/tmp".to_owned(),
        size: limits.scratch,
        mode: 0o1777,
        user: 0,
    }];
    if action.keep_failed {
        binds.push(keep::work_directory(place)?);
    } else {
        tmpfs.push(Tmpfs {
            target: WORK_DIR.to_owned(),
            size: limits.scratch,
            mode: 0o755,
            user: USER,
        });
    }
    let environment = merged(image.environment, wrapper::environment(action, variables));
    let mut command = image.entry_point;
    command.extend(wrapper::command(action, ""));
    let capacity = shared.machine.capacity();
    Ok(Container {
        name: place.name.clone(),
        place: place.path.clone(),
        layers: image.layers,
        upper: None,
        binds,
        tmpfs,
        files: streams::name_service(action.network),
        command,
        environment,
        directory: WORK_DIR.to_owned(),
        user: USER,
        network: action.network,
        limits: Some(Bounds {
            cores: limits.cores.min(f64::from(capacity.cores)),
            memory: limits.memory.min(capacity.memory),
            pids: limits.pids,
        }),
    })
}

/// How it ended, from what it sent and from what the kernel says.
fn conclude(action: &Action, stdout: Stdout, log: Log, ended: &Ended) -> Result<ActionResult> {
    let (archive, trailer) = stdout.finish();
    let log = log.finish();
    let exit = match &trailer {
        Some(trailer) if trailer.code == 0 => Exit::Code(0),
        _ if ended.killed > 0 => Exit::OutOfMemory,
        Some(trailer) => Exit::Code(trailer.code),
        // The shell around the command lives until it has said how that ended, if it is not killed with everything.
        None => return Err(silent(action, &log, ended)),
    };
    let outputs = match output::of_action(&archive, trailer.as_ref(), action) {
        // The failure of the command says more than that of its outputs.
        Err(_) if exit != Exit::Code(0) => BTreeMap::new(),
        outputs => outputs?,
    };
    Ok(ActionResult {
        exit,
        outputs,
        log,
        kept: None,
        execution: None,
    })
}

/// The container ended without the wrapper's last line.
fn silent(action: &Action, log: &[u8], ended: &Ended) -> ExecutorError {
    let name = &action.name;
    if ended.is_killed() {
        let message = format!("the container of `{name}` was ended from outside");
        return error(ExecutorErrorKind::Lost, message);
    }
    let log = String::from_utf8_lossy(log);
    let last = log.lines().rfind(|line| !line.trim().is_empty());
    let message = format!(
        "the container of `{name}` did not run (exit code {}): {}",
        ended.code,
        last.unwrap_or("nothing was said")
    );
    error(ExecutorErrorKind::Engine, message)
}
