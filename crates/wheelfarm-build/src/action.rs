//! One description of work for every executor, and the trait they implement.
//!
//! ```text
//!   wheelfarm-build      Action, trait Executor          (this crate: knows no Docker)
//!        ^      ^
//!        |      wheelfarm-executor   impl Executor for Docker ...
//!        wheelfarm-coordinator       calls Executor::run
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wheelfarm_types::Digest;

use crate::environment::PackageManager;
use crate::pipeline::Capacity;

/// Where an action finds its inputs: read-only.
pub const INPUT_DIR: &str = "/in";
/// Where an action finds its tools: `/tools/<name>/<name>`, read-only.
pub const TOOL_DIR: &str = "/tools";
/// The only writable place beside `/tmp`: empty at the start, in memory, and the working directory.
pub const WORK_DIR: &str = "/build";
/// What lies here at the end is the output.
pub const OUTPUT_DIR: &str = "/build/out";

/// A command to run in an image on given inputs, with everything it may use said here.
#[derive(Debug, Clone)]
pub struct Action {
    /// What it is, for people and for labels: `build psycopg2 2.9.13 cp311-manylinux_2_36_x86_64`.
    pub name: String,
    /// The image, as the executor that made or found it names it.
    pub image: String,
    /// Files under [`INPUT_DIR`], by relative path.
    pub inputs: BTreeMap<String, Digest>,
    /// Executables under [`TOOL_DIR`], by name: kept between actions, since they seldom change.
    pub tools: BTreeMap<String, Digest>,
    /// Directories by absolute path, read-only: the stored `.tar.gz` is unpacked there. Kept between actions too.
    pub trees: BTreeMap<String, Digest>,
    /// Program and arguments, run in [`WORK_DIR`].
    pub command: Vec<String>,
    /// The whole environment beside what the image sets.
    pub environment: BTreeMap<String, String>,
    /// Whether the network may be used. Never for builds, unless the user's recipe says so.
    pub network: bool,
    /// Whether a container that failed is kept for people to look into.
    pub keep_failed: bool,
    /// What compilers made before may be taken from here.
    pub compiler_cache: Option<CompilerCache>,
    /// How many cores it fills, as far as that is known: for those who choose where it runs.
    pub cores: Option<u32>,
    /// What it may use.
    pub limits: Limits,
}

/// A compiler cache: one per builder image and its content, kept where actions run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerCache {
    /// Tells it from others: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The builder image's name.
    pub image: String,
    /// What installs the cache's program.
    pub manager: PackageManager,
}

/// Upper bounds of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Processor cores.
    pub cores: f64,
    /// Memory in bytes, what is written to the work directory included.
    pub memory: u64,
    /// Processes and threads.
    pub pids: i64,
    /// Wall time.
    pub time: Duration,
    /// Size of the work directory in bytes.
    pub scratch: u64,
    /// Size of all outputs in bytes.
    pub output: u64,
    /// Size of the log that is kept, in bytes; what comes after is dropped, and said so.
    pub log: u64,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command ended with this code.
    Code(i64),
    /// It reached [`Limits::time`] and was killed.
    TimedOut,
    /// The kernel killed it at [`Limits::memory`].
    OutOfMemory,
}

/// What an action left.
#[derive(Debug, Clone)]
pub struct ActionResult {
    /// How it ended.
    pub exit: Exit,
    /// Files under [`OUTPUT_DIR`] by relative path; regular files only. Present even after a failure.
    pub outputs: BTreeMap<String, Bytes>,
    /// What the command printed on both streams.
    pub log: Bytes,
    /// The container, if it failed and was kept.
    pub kept: Option<Kept>,
    /// How it was run, if that was elsewhere.
    pub execution: Option<Execution>,
}

/// What people do with a container that was kept: command lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Looks into it.
    pub enter: String,
    /// Removes it.
    pub remove: String,
}

/// Receives each line of an action's log while it runs.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Where an action is, if it does not run as soon as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Its inputs are sent to where it is to run.
    Sending,
    /// It waits for a worker.
    Queued,
    /// A worker runs it; its name, where it is told.
    Worker(Option<String>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sending => f.write_str("sending its inputs"),
            Self::Queued => f.write_str("waiting for a worker"),
            Self::Worker(Some(name)) => write!(f, "on {name}"),
            Self::Worker(None) => f.write_str("on a worker"),
        }
    }
}

/// Receives each place of an action.
pub type PlaceSink = Arc<dyn Fn(Place) + Send + Sync>;

/// Is told of an action while it runs.
#[derive(Clone)]
pub struct Listener {
    /// Lines of its log.
    pub log: LogSink,
    /// Where it is.
    pub place: PlaceSink,
}

impl From<LogSink> for Listener {
    /// One that does not care where the action is.
    fn from(log: LogSink) -> Self {
        Self {
            log,
            place: Arc::new(|_| {}),
        }
    }
}

/// How an action was run elsewhere, as those who ran it say. Times in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// Who ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Whether it was not run: the result is that of an earlier one with the same content.
    #[serde(default)]
    pub cached: bool,
    /// How long it waited for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<f64>,
    /// How long the worker fetched its inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetching: Option<f64>,
    /// How long its command ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<f64>,
}

/// Runs actions somewhere.
pub trait Executor: Send + Sync {
    /// Runs `action` to its end; removes everything it made, also when `cancel` fires or this future is dropped.
    fn run<'a>(
        &'a self,
        action: &'a Action,
        listener: Listener,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ActionResult, ExecutorError>>;

    /// The same, though the result of an earlier run may be known: for who wants to see whether the same comes of it.
    fn run_anew<'a>(
        &'a self,
        action: &'a Action,
        listener: Listener,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ActionResult, ExecutorError>> {
        self.run(action, listener, cancel)
    }

    /// What there is to run actions on: of the engine, which may be another machine than this one. One slot per core.
    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, ExecutorError>>;

    /// Whether actions run on other machines, so that what this one works itself does not compete with them.
    fn is_elsewhere(&self) -> bool {
        false
    }

    /// How many containers (or whatever holds an action) were started so far, for the summary.
    fn started(&self) -> u64;

    /// How many actions were not run, since their results were known where they run. None where actions are always run.
    fn hits(&self) -> Option<u64> {
        None
    }
}

/// The executor itself could not do its work; the action's own failure is an [`Exit`].
#[derive(Debug, thiserror::Error)]
pub struct ExecutorError {
    /// What went wrong, for callers that act on it.
    pub kind: ExecutorErrorKind,
    /// What went wrong, for people.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

/// Kinds of [`ExecutorError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorErrorKind {
    /// The engine (say, the Docker daemon) does not answer.
    EngineUnavailable,
    /// The image is not there and could not be had.
    ImageUnavailable,
    /// No registry answers.
    RegistryUnavailable,
    /// System packages could not be installed.
    Packages,
    /// The mirrors of system packages do not answer.
    MirrorUnavailable,
    /// Something else than the action ended its container: the engine was stopped, say.
    Lost,
    /// The store failed while inputs were read.
    Store,
    /// An output broke a limit or is no regular file.
    Output,
    /// The user cancelled.
    Cancelled,
    /// Anything else the engine said.
    Engine,
}

impl ExecutorErrorKind {
    /// Whether the same may succeed a moment later, with nothing changed.
    pub fn passes(self) -> bool {
        match self {
            Self::EngineUnavailable
            | Self::RegistryUnavailable
            | Self::MirrorUnavailable
            | Self::Lost => true,
            Self::ImageUnavailable
            | Self::Packages
            | Self::Store
            | Self::Output
            | Self::Cancelled
            | Self::Engine => false,
        }
    }
}

impl fmt::Display for ExecutorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
