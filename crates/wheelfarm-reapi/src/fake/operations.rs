//! Operations: what becomes of an action, step by step.

use std::collections::VecDeque;
use std::sync::Arc;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::longrunning::{Operation, operation};
use bazel_remote_apis::google::protobuf::Any;
use bazel_remote_apis::google::rpc;
use prost::Message;
use proto::execution_stage::Value as Stage;
use tokio::sync::watch;

use super::State;
use crate::digest::BlobDigest;

/// What happens next to an action.
#[derive(Debug, Clone)]
pub enum Step {
    /// It waits for a worker.
    Queued,
    /// This worker has it.
    Executing(&'static str),
    /// Nothing, until a test says [`State::proceed`].
    Wait,
    /// It is done.
    Done(Box<proto::ExecuteResponse>),
    /// It is done, with an error instead of a response.
    Error(rpc::Status),
}

/// The steps of a command that ran to its end.
pub fn completed(result: proto::ActionResult) -> Vec<Step> {
    vec![
        Step::Queued,
        Step::Executing("worker"),
        Step::Done(Box::new(proto::ExecuteResponse {
            result: Some(result),
            ..proto::ExecuteResponse::default()
        })),
    ]
}

/// The steps of an action that failed with a status. As engines do, it has a result, too, with exit code zero.
pub fn failed(status: rpc::Status) -> Vec<Step> {
    vec![Step::Done(Box::new(proto::ExecuteResponse {
        result: Some(proto::ActionResult::default()),
        status: Some(status),
        ..proto::ExecuteResponse::default()
    }))]
}

/// An operation of the server.
pub(super) struct Running {
    pub(super) action: BlobDigest,
    steps: VecDeque<Step>,
    /// All that was said of it.
    pub(super) said: watch::Sender<Vec<Operation>>,
}

impl Running {
    pub(super) fn new(action: BlobDigest, steps: Vec<Step>) -> Self {
        Self {
            action,
            steps: steps.into(),
            said: watch::Sender::new(Vec::new()),
        }
    }

    /// Ends it here.
    pub(super) fn cancel(&mut self, name: &str) {
        self.steps.clear();
        let status = rpc::Status {
            code: 1,
            message: "cancelled".to_owned(),
            ..rpc::Status::default()
        };
        let response = proto::ExecuteResponse {
            status: Some(status),
            ..proto::ExecuteResponse::default()
        };
        let message = done(
            name,
            operation::Result::Response(packed("ExecuteResponse", &response)),
        );
        self.said.send_modify(|said| said.push(message));
    }
}

/// Goes on with all operations that are not done.
pub(super) fn go_on(state: &Arc<State>) {
    let names: Vec<String> = state.lock().operations.keys().cloned().collect();
    for name in names {
        start(state, name);
    }
}

/// Goes through the steps of an operation.
pub(super) fn start(state: &Arc<State>, name: String) {
    let state = Arc::clone(state);
    tokio::spawn(async move {
        loop {
            let next = {
                let inner = state.lock();
                inner
                    .operations
                    .get(&name)
                    .and_then(|operation| operation.steps.front().cloned())
            };
            let Some(step) = next else {
                return;
            };
            let permit = match step {
                Step::Wait => state.gate.acquire().await.ok(),
                _ => None,
            };
            let mut inner = state.lock();
            let Some(operation) = inner.operations.get_mut(&name) else {
                return;
            };
            // None if it was cancelled meanwhile: then another may have the permit.
            if operation.steps.pop_front().is_none() {
                return;
            }
            if let Some(permit) = permit {
                permit.forget();
            }
            let message = message(&state, &name, &operation.action, &step);
            if let Some(message) = message {
                operation.said.send_modify(|said| said.push(message));
            }
            if let Step::Done(response) = step
                && response.status.is_none()
                && let Some(result) = response.result
            {
                let action = operation.action;
                inner.results.insert(action, result);
            }
        }
    });
}

fn message(state: &State, name: &str, action: &BlobDigest, step: &Step) -> Option<Operation> {
    let stage = |stage: Stage, worker: &str| {
        let metadata = proto::ExecuteOperationMetadata {
            stage: stage as i32,
            action_digest: Some((*action).into()),
            partial_execution_metadata: Some(proto::ExecutedActionMetadata {
                worker: worker.to_owned(),
                ..proto::ExecutedActionMetadata::default()
            }),
            ..proto::ExecuteOperationMetadata::default()
        };
        Operation {
            name: name.to_owned(),
            metadata: state
                .options
                .metadata
                .then(|| packed("ExecuteOperationMetadata", &metadata)),
            ..Operation::default()
        }
    };
    match step {
        Step::Wait => None,
        Step::Queued => Some(stage(Stage::Queued, "")),
        Step::Executing(worker) => Some(stage(Stage::Executing, worker)),
        Step::Done(response) => Some(done(
            name,
            operation::Result::Response(packed("ExecuteResponse", response.as_ref())),
        )),
        Step::Error(status) => Some(done(name, operation::Result::Error(status.clone()))),
    }
}

fn done(name: &str, result: operation::Result) -> Operation {
    Operation {
        name: name.to_owned(),
        done: true,
        result: Some(result),
        ..Operation::default()
    }
}

fn packed(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/build.bazel.remote.execution.v2.{name}"),
        value: message.encode_to_vec(),
    }
}
