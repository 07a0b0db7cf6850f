//! Capabilities, action cache, execution, operations.

use std::sync::Arc;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::build::bazel::semver::SemVer;
use bazel_remote_apis::google::longrunning as operations_proto;
use bazel_remote_apis::google::protobuf::Empty;
use futures::StreamExt;
use futures::stream::BoxStream;
use operations_proto::Operation;
use operations_proto::operations_server::Operations;
use proto::action_cache_server::ActionCache;
use proto::capabilities_server::Capabilities;
use proto::compressor::Value as Compressor;
use proto::execution_server::Execution;
use tokio::sync::watch;
use tonic::{Request, Response, Status, async_trait};

use super::operations::{self, Running};
use super::state::Break;
use super::{Service, completed};
use crate::digest::BlobDigest;

#[async_trait]
impl Capabilities for Service {
    async fn get_capabilities(
        &self,
        request: Request<proto::GetCapabilitiesRequest>,
    ) -> Result<Response<proto::ServerCapabilities>, Status> {
        self.0.enter(
            "GetCapabilities",
            &request.get_ref().instance_name,
            &request,
        )?;
        let options = &self.0.options;
        let compressors = if options.zstd {
            vec![Compressor::Zstd as i32]
        } else {
            Vec::new()
        };
        let version = |major, minor| {
            Some(SemVer {
                major,
                minor,
                ..SemVer::default()
            })
        };
        Ok(Response::new(proto::ServerCapabilities {
            cache_capabilities: Some(proto::CacheCapabilities {
                digest_functions: options.digest_functions.clone(),
                max_batch_total_size_bytes: options.batch_bytes,
                max_cas_blob_size_bytes: options.max_blob_bytes,
                supported_compressors: compressors.clone(),
                supported_batch_update_compressors: compressors,
                ..proto::CacheCapabilities::default()
            }),
            execution_capabilities: Some(proto::ExecutionCapabilities {
                digest_function: options
                    .digest_functions
                    .first()
                    .copied()
                    .unwrap_or_default(),
                exec_enabled: options.execution,
                execution_priority_capabilities: Some(proto::PriorityCapabilities {
                    priorities: vec![proto::priority_capabilities::PriorityRange {
                        min_priority: -10,
                        max_priority: 10,
                    }],
                }),
                ..proto::ExecutionCapabilities::default()
            }),
            low_api_version: version(2, 0),
            high_api_version: version(2, 3),
            deprecated_api_version: None,
        }))
    }
}

#[async_trait]
impl ActionCache for Service {
    async fn get_action_result(
        &self,
        request: Request<proto::GetActionResultRequest>,
    ) -> Result<Response<proto::ActionResult>, Status> {
        self.0.enter(
            "GetActionResult",
            &request.get_ref().instance_name,
            &request,
        )?;
        let action = digest(request.get_ref().action_digest.as_ref())?;
        let result = self.0.lock().results.get(&action).cloned();
        result
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such result"))
    }

    async fn update_action_result(
        &self,
        _: Request<proto::UpdateActionResultRequest>,
    ) -> Result<Response<proto::ActionResult>, Status> {
        Err(Status::permission_denied("only workers may"))
    }
}

#[async_trait]
impl Execution for Service {
    type ExecuteStream = BoxStream<'static, Result<Operation, Status>>;
    type WaitExecutionStream = BoxStream<'static, Result<Operation, Status>>;

    async fn execute(
        &self,
        request: Request<proto::ExecuteRequest>,
    ) -> Result<Response<Self::ExecuteStream>, Status> {
        self.0
            .enter("Execute", &request.get_ref().instance_name, &request)?;
        let action = digest(request.get_ref().action_digest.as_ref())?;
        let skip = request.get_ref().skip_cache_lookup;
        let cached = self
            .0
            .lock()
            .results
            .get(&action)
            .cloned()
            .filter(|_| !skip);
        let steps = if let Some(result) = cached {
            vec![operations::Step::Done(Box::new(proto::ExecuteResponse {
                result: Some(result),
                cached_result: true,
                ..proto::ExecuteResponse::default()
            }))]
        } else {
            let worker = self.0.lock().worker.clone();
            match worker {
                Some(worker) => worker(&self.0, &action),
                None => completed(proto::ActionResult::default()),
            }
        };
        let running = Running::new(action, steps);
        let said = running.said.subscribe();
        let name = {
            let mut inner = self.0.lock();
            let prefix = &self.0.options.operation_prefix;
            let name = format!("{prefix}{}", inner.operations.len());
            inner.operations.insert(name.clone(), running);
            name
        };
        operations::start(&self.0, name);
        Ok(Response::new(self.follow(said, 0)))
    }

    async fn wait_execution(
        &self,
        request: Request<proto::WaitExecutionRequest>,
    ) -> Result<Response<Self::WaitExecutionStream>, Status> {
        let name = request.get_ref().name.clone();
        self.0.enter("WaitExecution", &name, &request)?;
        let said = {
            let inner = self.0.lock();
            let operation = inner
                .operations
                .get(&name)
                .ok_or_else(|| Status::not_found("no such operation"))?;
            operation.said.subscribe()
        };
        // The last that was said is said again.
        let seen = said.borrow().len().saturating_sub(1);
        Ok(Response::new(self.follow(said, seen)))
    }
}

impl Service {
    /// What is said of an operation, after the first `seen` messages, until it is done or the stream is to break.
    fn follow(
        &self,
        said: watch::Receiver<Vec<Operation>>,
        seen: usize,
    ) -> BoxStream<'static, Result<Operation, Status>> {
        let order = self.0.lock().break_streams.pop_front();
        let state = Some((said, seen, 0, order, Arc::clone(&self.0)));
        futures::stream::unfold(state, |state| async {
            let (mut said, seen, sent, order, server) = state?;
            if let Some((after, how)) = &order
                && sent >= *after
            {
                return match how {
                    Break::End => None,
                    Break::Status(status) => Some((Err(status.clone()), None)),
                };
            }
            let message = match said.wait_for(|said| said.len() > seen).await {
                Ok(messages) => messages.get(seen).cloned()?,
                Err(_) => return Some((Err(Status::not_found("forgotten")), None)),
            };
            let next = (!message.done).then_some((said, seen + 1, sent + 1, order, server));
            Some((Ok(message), next))
        })
        .boxed()
    }
}

#[async_trait]
impl Operations for Service {
    async fn cancel_operation(
        &self,
        request: Request<operations_proto::CancelOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        let name = request.get_ref().name.clone();
        self.0.enter("CancelOperation", &name, &request)?;
        let mut inner = self.0.lock();
        let running = inner
            .operations
            .get_mut(&name)
            .ok_or_else(|| Status::not_found("no such operation"))?;
        running.cancel(&name);
        inner.cancelled.push(name);
        Ok(Response::new(Empty {}))
    }

    async fn list_operations(
        &self,
        _: Request<operations_proto::ListOperationsRequest>,
    ) -> Result<Response<operations_proto::ListOperationsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_operation(
        &self,
        _: Request<operations_proto::GetOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn delete_operation(
        &self,
        _: Request<operations_proto::DeleteOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn wait_operation(
        &self,
        _: Request<operations_proto::WaitOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

/// A digest of a request.
pub(super) fn digest(digest: Option<&proto::Digest>) -> Result<BlobDigest, Status> {
    let digest = digest.ok_or_else(|| Status::invalid_argument("no digest"))?;
    BlobDigest::try_from(digest).map_err(|bad| Status::invalid_argument(bad.to_string()))
}
