//! What an action came to.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::protobuf::Timestamp;
use bytes::Bytes;
use proto::action_cache_client::ActionCacheClient;
use tokio::time::timeout;
use tonic::Code;

use crate::client::{At, Client, SHA256};
use crate::digest::{BlobDigest, BlobDigestError};
use crate::error::{Error, ErrorKind, error, refused};
use crate::patience::{SILENCE, silent};

/// What an action came to (`ActionResult` in `remote_execution.proto`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActionResult {
    /// What the command ended with. Zero also for commands that never ran: errors say so, look at them first.
    pub exit_code: i32,
    /// What it wrote to its standard output.
    pub stdout: Output,
    /// What it wrote to its standard error.
    pub stderr: Output,
    /// Files that it made, of those that were asked for.
    pub files: Vec<OutputFile>,
    /// Directories that it made, of those that were asked for.
    pub directories: Vec<OutputDirectory>,
    /// Paths and targets of symbolic links that it made, of those that were asked for.
    pub symlinks: Vec<(String, String)>,
    /// Who executed it and when, if the server says so.
    pub metadata: Option<Metadata>,
}

/// What a command wrote to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// It is here; often empty.
    Inline(Bytes),
    /// It is in storage.
    Stored(BlobDigest),
}

impl Default for Output {
    fn default() -> Self {
        Self::Inline(Bytes::new())
    }
}

/// A file that a command made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Relative to the working directory.
    pub path: String,
    /// Its content.
    pub digest: BlobDigest,
    /// Whether it may be executed.
    pub executable: bool,
    /// Its content, if the server sent it along and it is what the digest says.
    pub inline: Option<Bytes>,
}

/// A directory that a command made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputDirectory {
    /// Relative to the working directory; empty for that directory itself.
    pub path: String,
    /// A `Tree` message: see [`Tree::decode`](crate::Tree::decode).
    pub tree: BlobDigest,
}

/// Who executed an action and when (`ExecutedActionMetadata`). Times are seconds since the epoch, by the clocks of the
/// server and the worker.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "each is the timestamp of that name")]
pub struct Metadata {
    /// The name of the worker.
    pub worker: String,
    pub queued: Option<f64>,
    pub worker_start: Option<f64>,
    pub worker_completed: Option<f64>,
    pub input_fetch_start: Option<f64>,
    pub input_fetch_completed: Option<f64>,
    pub execution_start: Option<f64>,
    pub execution_completed: Option<f64>,
    pub output_upload_start: Option<f64>,
    pub output_upload_completed: Option<f64>,
}

impl Client {
    /// The result that the action cache has for an action, if it has one (`GetActionResult`).
    pub async fn cached(&self, action: &BlobDigest) -> Result<Option<ActionResult>, Error> {
        let mut patience = self.patience();
        loop {
            let message = proto::GetActionResultRequest {
                instance_name: self.shared.instance.clone(),
                action_digest: Some((*action).into()),
                inline_stdout: true,
                inline_stderr: true,
                digest_function: SHA256,
                ..proto::GetActionResultRequest::default()
            };
            let mut cache = ActionCacheClient::new(self.channel(At::Storage))
                .max_decoding_message_size(Self::message_limit());
            let call = cache.get_action_result(self.request(message, Some(action)));
            let status = match timeout(SILENCE, call)
                .await
                .unwrap_or_else(|_| Err(silent()))
            {
                Ok(response) => return read(response.into_inner()).map(Some),
                // It has none, which is not an error.
                Err(status) if status.code() == Code::NotFound => return Ok(None),
                Err(status) => status,
            };
            if !patience.wait(&status).await {
                let what = format!("look for the result of {action}");
                return Err(refused(self.address(At::Storage), what, &status));
            }
        }
    }
}

/// Checks what a server says that an action came to.
pub(crate) fn read(result: proto::ActionResult) -> Result<ActionResult, Error> {
    #[expect(deprecated, reason = "servers of before 2.1 have nothing else")]
    let symlinks = result
        .output_symlinks
        .into_iter()
        .chain(result.output_file_symlinks)
        .chain(result.output_directory_symlinks)
        .map(|link| (link.path, link.target));
    // Newer servers fill both fields with the same links.
    let mut symlinks: Vec<_> = symlinks.collect();
    symlinks.sort_unstable();
    symlinks.dedup();
    let files = result.output_files.into_iter().map(|file| {
        let digest = digest(file.digest.as_ref(), &file.path)?;
        let contents = Bytes::from(file.contents);
        Ok(OutputFile {
            inline: (BlobDigest::of(&contents) == digest).then_some(contents),
            path: file.path,
            digest,
            executable: file.is_executable,
        })
    });
    let directories = result.output_directories.into_iter().map(|directory| {
        Ok(OutputDirectory {
            tree: digest(directory.tree_digest.as_ref(), &directory.path)?,
            path: directory.path,
        })
    });
    Ok(ActionResult {
        exit_code: result.exit_code,
        files: files.collect::<Result<_, Error>>()?,
        directories: directories.collect::<Result<_, Error>>()?,
        stdout: output(
            result.stdout_raw,
            result.stdout_digest.as_ref(),
            "standard output",
        )?,
        stderr: output(
            result.stderr_raw,
            result.stderr_digest.as_ref(),
            "standard error",
        )?,
        symlinks,
        metadata: result.execution_metadata.as_ref().map(metadata),
    })
}

/// Output is either in the message or in storage. Servers that do neither mean that there was none.
fn output(raw: Vec<u8>, stored: Option<&proto::Digest>, what: &str) -> Result<Output, Error> {
    match stored {
        Some(stored) if raw.is_empty() && !stored.hash.is_empty() => {
            let digest = digest(Some(stored), what)?;
            if digest.size == 0 {
                return Ok(Output::default());
            }
            Ok(Output::Stored(digest))
        }
        _ => Ok(Output::Inline(raw.into())),
    }
}

fn digest(digest: Option<&proto::Digest>, of: &str) -> Result<BlobDigest, Error> {
    let of = crate::error::bounded(of);
    let bad = |bad: BlobDigestError| {
        error(
            ErrorKind::Protocol,
            format!("the result of an action has a bad digest of `{of}`: {bad}"),
        )
    };
    BlobDigest::try_from(digest.unwrap_or(&proto::Digest::default())).map_err(bad)
}

fn metadata(metadata: &proto::ExecutedActionMetadata) -> Metadata {
    let seconds = |timestamp: &Option<Timestamp>| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "times of today are exact to a microsecond"
        )]
        timestamp
            .as_ref()
            .map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9)
    };
    Metadata {
        worker: crate::error::bounded(&metadata.worker),
        queued: seconds(&metadata.queued_timestamp),
        worker_start: seconds(&metadata.worker_start_timestamp),
        worker_completed: seconds(&metadata.worker_completed_timestamp),
        input_fetch_start: seconds(&metadata.input_fetch_start_timestamp),
        input_fetch_completed: seconds(&metadata.input_fetch_completed_timestamp),
        execution_start: seconds(&metadata.execution_start_timestamp),
        execution_completed: seconds(&metadata.execution_completed_timestamp),
        output_upload_start: seconds(&metadata.output_upload_start_timestamp),
        output_upload_completed: seconds(&metadata.output_upload_completed_timestamp),
    }
}
