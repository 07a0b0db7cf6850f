//! Following an action through broken connections and restarted servers.

use std::future::pending;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::longrunning::Operation;
use prost::Message;
use proto::execution_client::ExecutionClient;
use proto::execution_stage::Value as Stage;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Code, Status, Streaming};

use super::cancel::Running;
use super::{ExecuteOptions, Executed, Progress, outcome};
use crate::calls::At;
use crate::client::{Client, SHA256};
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, bounded, error, hinted, refused};
use crate::lanes::Lane;
use crate::patience::{Patience, later};

/// How often an action is handed in: a server that forgets it again and again will not execute it.
const ATTEMPTS: u32 = 10;
/// The longest name of an operation that is kept, in bytes. Known ones have less than 200.
const LONGEST_NAME: usize = 4096;

/// An action that is being followed.
pub(super) struct Following<'a> {
    client: &'a Client,
    action: &'a BlobDigest,
    options: &'a ExecuteOptions,
    observe: &'a (dyn Fn(Progress) + Sync),
    running: &'a Running,
    patience: Patience,
    /// What was told last.
    progress: Option<Progress>,
    /// Since when no worker has it.
    queued: Option<Instant>,
    attempts: u32,
    reconnections: u32,
}

impl<'a> Following<'a> {
    pub(super) fn new(
        client: &'a Client,
        action: &'a BlobDigest,
        options: &'a ExecuteOptions,
        observe: &'a (dyn Fn(Progress) + Sync),
        running: &'a Running,
    ) -> Self {
        Self {
            client,
            action,
            options,
            observe,
            running,
            patience: client.patience(),
            progress: None,
            queued: None,
            attempts: 0,
            reconnections: 0,
        }
    }

    /// Until it is done.
    pub(super) async fn run(mut self) -> Result<Executed, Error> {
        loop {
            let lane = self.client.shared.lanes.enter();
            let name = self.running.name();
            let again = name.is_some();
            let status = match self.attend(&lane, name).await? {
                Attended::Done(operation) => return self.finish(*operation),
                Attended::Broken(status) => status,
            };
            // It is not known any more, or was never kept for later: handed in again, it joins the one that is under
            // way, or is found in the cache, or is done once more.
            if again
                && matches!(
                    status.code(),
                    Code::NotFound | Code::Unimplemented | Code::InvalidArgument
                )
            {
                self.running.settle();
                continue;
            }
            let what = format!("execute action {}", self.action);
            // What a server says of itself, not of the action, when it goes down.
            let going_down = status.code() == Code::Cancelled && self.running.name().is_some();
            let status = if going_down {
                Status::unavailable(status.message())
            } else {
                status
            };
            if !self.patience.wait(&status).await {
                return Err(refused(self.client.address(At::Execution), what, &status));
            }
            self.reconnections += 1;
        }
    }

    /// Hands the action in, or goes on with operation `name`, and listens until the end or a break.
    async fn attend(&mut self, lane: &Lane, name: Option<String>) -> Result<Attended, Error> {
        let mut stream = match self.open(lane, name).await? {
            Ok(stream) => stream,
            Err(status) => return Ok(Attended::Broken(status)),
        };
        loop {
            let queue_deadline = self
                .queued
                .map(|since| later(since, self.options.deadline_in_queue));
            let message = tokio::select! {
                message = stream.message() => message,
                () = reached(queue_deadline) => return Err(self.queued_too_long()),
                dead = self.is_dead(lane) => {
                    if !dead {
                        continue;
                    }
                    self.client.shared.lanes.close(lane);
                    let status = Status::unavailable("the connection leads nowhere any more");
                    return Ok(Attended::Broken(status));
                }
            };
            match message {
                Ok(Some(operation)) => {
                    self.patience.progress();
                    self.note(&operation)?;
                    if operation.done {
                        return Ok(Attended::Done(Box::new(operation)));
                    }
                }
                Ok(None) => {
                    let status =
                        Status::unavailable("it ended the stream before the action was done");
                    return Ok(Attended::Broken(status));
                }
                Err(status) => return Ok(Attended::Broken(status)),
            }
        }
    }

    /// After a time of silence: whether the connection leads nowhere.
    async fn is_dead(&self, lane: &Lane) -> bool {
        sleep(self.client.shared.calls.silence()).await;
        self.client.is_dead(lane).await
    }

    async fn open(
        &mut self,
        lane: &Lane,
        name: Option<String>,
    ) -> Result<Result<Streaming<Operation>, Status>, Error> {
        let mut calls = ExecutionClient::new(lane.channel.clone())
            .max_decoding_message_size(Client::message_limit());
        let queue_deadline = self
            .queued
            .map(|since| later(since, self.options.deadline_in_queue));
        let call = async {
            if let Some(name) = name {
                let message = proto::WaitExecutionRequest { name };
                calls
                    .wait_execution(self.client.request(message, Some(self.action)))
                    .await
            } else {
                self.attempts += 1;
                calls
                    .execute(self.client.request(self.message(), Some(self.action)))
                    .await
            }
        };
        // Some servers answer only when they have something to say, so nothing but the patience of the caller ends a
        // call that hands an action in. One that goes on with it is answered from what is known.
        let answer = tokio::select! {
            answer = call => answer,
            () = reached(queue_deadline) => return Err(self.queued_too_long()),
        };
        if self.attempts > ATTEMPTS {
            return Err(error(
                ErrorKind::Infrastructure,
                format!(
                    "{} forgot action {} {ATTEMPTS} times while it was under way",
                    self.client.address(At::Execution),
                    self.action
                ),
            ));
        }
        Ok(answer.map(tonic::Response::into_inner))
    }

    fn message(&self) -> proto::ExecuteRequest {
        proto::ExecuteRequest {
            instance_name: self.client.shared.instance.clone(),
            // Also when it is handed in again: the cache may still have the result that is not to be taken.
            skip_cache_lookup: self.options.skip_cache_lookup,
            action_digest: Some((*self.action).into()),
            execution_policy: (self.options.priority != 0).then_some(proto::ExecutionPolicy {
                priority: self.options.priority,
            }),
            digest_function: SHA256,
            inline_stdout: true,
            inline_stderr: true,
            ..proto::ExecuteRequest::default()
        }
    }

    /// Takes what an operation says of itself: its name, and perhaps its stage.
    fn note(&mut self, operation: &Operation) -> Result<(), Error> {
        if operation.name.len() > LONGEST_NAME {
            return Err(error(
                ErrorKind::Protocol,
                format!(
                    "{} gave an operation a name of {} bytes",
                    self.client.address(At::Execution),
                    operation.name.len()
                ),
            ));
        }
        if !operation.name.is_empty() {
            self.running.named(&operation.name);
        }
        let metadata = operation
            .metadata
            .as_ref()
            .filter(|any| any.type_url.ends_with("ExecuteOperationMetadata"))
            .and_then(|any| proto::ExecuteOperationMetadata::decode(any.value.as_slice()).ok());
        let Some(metadata) = metadata else {
            return Ok(());
        };
        let worker = || {
            let partial = metadata.partial_execution_metadata.as_ref();
            partial
                .map(|partial| bounded(&partial.worker))
                .unwrap_or_default()
        };
        let progress = match metadata.stage() {
            Stage::Unknown => return Ok(()),
            Stage::CacheCheck => Progress::CacheCheck,
            Stage::Queued => Progress::Queued,
            Stage::Executing => Progress::Executing { worker: worker() },
            Stage::Completed => Progress::Completed,
        };
        if progress == Progress::Queued {
            self.queued.get_or_insert_with(Instant::now);
        } else {
            self.queued = None;
        }
        if self.progress.as_ref() != Some(&progress) {
            self.progress = Some(progress.clone());
            (self.observe)(progress);
        }
        Ok(())
    }

    fn queued_too_long(&self) -> Error {
        hinted(
            ErrorKind::QueueTimeout,
            format!(
                "no worker of {} took action {} within {} seconds",
                self.client.address(At::Execution),
                self.action,
                self.options.deadline_in_queue.as_secs()
            ),
            "Either all workers are busy, or none has the properties that the action asks for.",
        )
    }

    fn finish(self, operation: Operation) -> Result<Executed, Error> {
        let name = self.running.name().unwrap_or_default();
        self.running.settle();
        let (result, cached, message) =
            outcome::read(operation, self.client.address(At::Execution), self.action)?;
        if self.progress != Some(Progress::Completed) {
            (self.observe)(Progress::Completed);
        }
        Ok(Executed {
            result,
            cached,
            operation: name,
            attempts: self.attempts,
            reconnections: self.reconnections,
            message,
        })
    }
}

/// How listening to a stream ended.
enum Attended {
    Done(Box<Operation>),
    Broken(Status),
}

/// Waits until an instant; for ever if there is none.
async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
