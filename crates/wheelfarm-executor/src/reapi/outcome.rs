//! What a cluster says of an action, as what every executor says of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::try_join3;
use futures::{TryFutureExt, TryStreamExt};
use wheelfarm_build::action::{
    Action, ActionResult, Execution, ExecutorError, ExecutorErrorKind, Exit, LogSink,
};
use wheelfarm_reapi::{
    ActionResult as Remote, BlobDigest, Client, Error, ErrorKind, Metadata, Output, Tree,
    TreeLimits,
};

use super::inputs::{DAMAGED, OUT, STATUS, TREE_SIZE};
use crate::error::{Result, error, hinted};
use crate::log::Log;

/// How many files an action may leave.
const MOST_FILES: usize = 10_000;
/// More than this of what an action printed is not fetched, in bytes: all of it would have to be, to be verified.
const MOST_PRINTED: u64 = 1 << 30;
/// The status file holds a number and a newline.
const STATUS_SIZE: u64 = 16;
/// That of a command that succeeded.
const SUCCESS: &[u8] = b"0\n";
/// Exit codes of a command that a signal ended together with the shell around it.
const SIGNALS: [i32; 2] = [128 + 9, 128 + 15];
/// What programs print that could not read a file that is there (`EIO`): so a worker whose storage removed it hands it out.
const UNREADABLE: &[u8] = b"Input/output error";
/// How much of what a sandbox printed goes into an error.
const LAST_WORDS: usize = 500;

/// For `map_err`: the cluster or the way to it failed.
pub(super) fn failed(source: Error) -> ExecutorError {
    let kind = match &source.kind {
        ErrorKind::Unreachable => ExecutorErrorKind::EngineUnavailable,
        ErrorKind::Infrastructure | ErrorKind::Corrupt | ErrorKind::MissingBlobs(_) => {
            ExecutorErrorKind::Lost
        }
        ErrorKind::Source => ExecutorErrorKind::Store,
        ErrorKind::TooLarge => ExecutorErrorKind::Output,
        _ => ExecutorErrorKind::Engine,
    };
    ExecutorError {
        kind,
        message: source.message,
        hint: source.hint,
    }
}

/// Whether a result that was not run now may be taken: one of a success. Servers need not cache others, but some do, and
/// a failure may have been the worker's.
pub(super) fn is_success(result: &Remote) -> bool {
    result.exit_code == 0
}

/// Fetches what a finished action left. Output that is not there any more is [`ErrorKind::MissingBlobs`].
pub(super) async fn fetch(
    client: &Client,
    action: &Action,
    result: &Remote,
    cached: bool,
    sink: LogSink,
) -> Result<ActionResult, Fetching> {
    let log = log(client, action, result, sink).map_err(Fetching::Client);
    let status = status(client, result).map_err(Fetching::Client);
    let outputs = outputs(client, action, result);
    let (log, status, outputs) = try_join3(log, status, outputs).await?;
    let exit = exit(action, result, status.as_deref(), &log).map_err(Fetching::Failed)?;
    Ok(ActionResult {
        exit,
        outputs,
        log,
        kept: None,
        execution: Some(execution(result.metadata.as_ref(), cached)),
    })
}

/// What the wrapper wrote of the command's end; nothing if it did not come so far.
async fn status(client: &Client, result: &Remote) -> Result<Option<Bytes>, Error> {
    let Some(file) = result.files.iter().find(|file| file.path == STATUS) else {
        return Ok(None);
    };
    // The digest of the usual one says what it is.
    if file.digest == BlobDigest::of(SUCCESS) {
        return Ok(Some(Bytes::from_static(SUCCESS)));
    }
    if let Some(bytes) = &file.inline {
        return Ok(Some(bytes.clone()));
    }
    client.read(&file.digest, STATUS_SIZE).await.map(Some)
}

/// Why there is nothing to fetch.
#[derive(Debug)]
pub(super) enum Fetching {
    /// The client could not.
    Client(Error),
    /// What there is is no result.
    Failed(ExecutorError),
    /// The storage has forgotten inputs of it, so that it counts for nothing.
    Void,
}

impl From<Error> for Fetching {
    fn from(source: Error) -> Self {
        Self::Client(source)
    }
}

/// What an action printed until its time was over.
pub(super) async fn timed_out(
    client: &Client,
    action: &Action,
    partial: Option<&Remote>,
    sink: LogSink,
) -> ActionResult {
    let log = match partial {
        // Its log is of use, but no part of the result.
        Some(partial) => log(client, action, partial, sink).await.unwrap_or_default(),
        None => Bytes::new(),
    };
    ActionResult {
        exit: Exit::TimedOut,
        outputs: BTreeMap::new(),
        log,
        kept: None,
        execution: partial.map(|partial| execution(partial.metadata.as_ref(), false)),
    }
}

/// How the command ended: as its wrapper says, which tells a failure of the command from one of what is around it.
fn exit(
    action: &Action,
    result: &Remote,
    status: Option<&[u8]>,
    log: &[u8],
) -> Result<Exit, ExecutorError> {
    let told = status.and_then(|status| std::str::from_utf8(status).ok());
    let told = told.map_or("", str::trim);
    if told == DAMAGED {
        return Err(hinted(
            ExecutorErrorKind::Lost,
            format!(
                "the cluster's storage handed inputs of `{}` out that are not what they should be: {}",
                action.name,
                last_words(log)
            ),
            "A full disk or a broken one can do that. Whoever runs the storage has to remove those blobs, or all: wheelfarm sends again what is missing.",
        ));
    }
    let told = told.parse::<i64>().ok();
    match told {
        Some(code) if code != i64::from(result.exit_code) => Err(error(
            ExecutorErrorKind::Lost,
            format!(
                "the worker says that `{}` ended with exit code {}, its shell says {code}",
                action.name, result.exit_code
            ),
        )),
        Some(code) if code != 0 && is_unreadable(log) => Err(hinted(
            ExecutorErrorKind::Lost,
            format!(
                "`{}` failed on a worker that could not read its files: {}",
                action.name,
                last_words(log)
            ),
            "The worker's cache may be full: files are removed from it, in use or not. Give it more room; see the worker's own log.",
        )),
        Some(code) => Ok(Exit::Code(code)),
        None if SIGNALS.contains(&result.exit_code) => Err(hinted(
            ExecutorErrorKind::Lost,
            format!(
                "`{}` was killed on the worker with everything around it (exit code {})",
                action.name, result.exit_code
            ),
            "Mostly for want of memory: `memory` of its package says how much it needs, and a property with `{memory}` can choose a worker by it.",
        )),
        None => {
            let words = last_words(log);
            Err(hinted(
                ExecutorErrorKind::Lost,
                format!(
                    "the sandbox for `{}` did not start on the worker (exit code {}): {words}",
                    action.name, result.exit_code
                ),
                "Look at the worker's own log, at `image-mode` of [remote], and at the properties that choose workers; `wheelfarm doctor --executor reapi` tries each part.",
            ))
        }
    }
}

/// Whether a log says that files could not be read.
fn is_unreadable(log: &[u8]) -> bool {
    log.windows(UNREADABLE.len())
        .any(|window| window == UNREADABLE)
}

/// The end of a log.
fn last_words(log: &[u8]) -> String {
    let last = log.get(log.len().saturating_sub(LAST_WORDS)..);
    String::from_utf8_lossy(last.unwrap_or(log))
        .trim()
        .to_owned()
}

/// What the command printed: all of it is on stderr, and what a sandbox says itself may be on stdout.
async fn log(
    client: &Client,
    action: &Action,
    result: &Remote,
    sink: LogSink,
) -> Result<Bytes, Error> {
    let mut log = Log::new(action.limits.log, sink);
    for output in [&result.stderr, &result.stdout] {
        match output {
            Output::Inline(bytes) => log.push(bytes),
            Output::Stored(digest) if digest.size > MOST_PRINTED => {
                let size = digest.size;
                log.push(
                    format!(
                        "[wheelfarm: {size} bytes were printed: that is too much to be fetched]\n"
                    )
                    .as_bytes(),
                );
            }
            Output::Stored(digest) => {
                let mut stream = std::pin::pin!(client.stream(digest));
                while let Some(chunk) = stream.try_next().await? {
                    log.push(&chunk);
                }
            }
        }
    }
    Ok(log.finish())
}

/// The files of the output directory.
async fn outputs(
    client: &Client,
    action: &Action,
    result: &Remote,
) -> Result<BTreeMap<String, Bytes>, Fetching> {
    let refused = |detail: String| {
        Fetching::Failed(hinted(
            ExecutorErrorKind::Output,
            format!("the output of `{}` was refused: {detail}", action.name),
            "An action leaves plain files in /build/out; raise the output limit if they are meant to be so large.",
        ))
    };
    if let Some((path, _)) = result.symlinks.first() {
        return Err(refused(format!("`{path}` is a link")));
    }
    let Some(directory) = result.directories.iter().find(|found| found.path == OUT) else {
        return Ok(BTreeMap::new());
    };
    let tree = client.read(&directory.tree, TREE_SIZE).await?;
    let limits = TreeLimits {
        entries: MOST_FILES,
        ..TreeLimits::default()
    };
    let tree = Tree::decode(tree, &limits)?;
    let listing = tree.files(&limits);
    let listing = listing.map_err(|source| refused(source.message))?;
    if let Some((path, _)) = listing.symlinks.first() {
        return Err(refused(format!("`{path}` is a link")));
    }
    let files = listing.files;
    let total = files
        .iter()
        .fold(0_u64, |sum, file| sum.saturating_add(file.digest.size));
    if total > action.limits.output {
        return Err(refused(format!(
            "it has {total} bytes, and may have {}",
            action.limits.output
        )));
    }
    let digests: Vec<_> = files.iter().map(|file| file.digest).collect();
    let contents = client.read_all(&digests, action.limits.output).await?;
    let paths = files.into_iter().map(|file| file.path);
    Ok(paths.zip(contents).collect())
}

/// What the worker says of its work (REAPI v2, `ExecutedActionMetadata`).
fn execution(metadata: Option<&Metadata>, cached: bool) -> Execution {
    let Some(metadata) = metadata else {
        return Execution {
            cached,
            ..Execution::default()
        };
    };
    let between = |from: Option<f64>, to: Option<f64>| Some((to? - from?).max(0.0));
    Execution {
        worker: Some(metadata.worker.clone()).filter(|worker| !worker.is_empty()),
        cached,
        queued: between(metadata.queued, metadata.worker_start),
        fetching: between(metadata.input_fetch_start, metadata.input_fetch_completed),
        running: between(metadata.execution_start, metadata.execution_completed),
    }
}
