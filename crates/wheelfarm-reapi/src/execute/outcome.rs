//! What the end of an operation means.
//!
//! The status of a response is looked at before anything else in it: where the remote failed, engines send a result
//! beside the status whose exit code is zero.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::longrunning::{Operation, operation};
use bazel_remote_apis::google::rpc;
use prost::Message;
use tonic::Code;

use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, bounded, error, hinted};
use crate::result::{self, ActionResult};
use crate::violations;

/// The result of a finished operation, whether it was cached, and what the server says about it.
pub(super) fn read(
    operation: Operation,
    address: &str,
    action: &BlobDigest,
) -> Result<(ActionResult, bool, String), Error> {
    let any = match operation.result {
        Some(operation::Result::Response(any)) => any,
        Some(operation::Result::Error(status)) => {
            return Err(failed(&status, None, "", address, action));
        }
        None => {
            return Err(error(
                ErrorKind::Infrastructure,
                format!("{address} says that action {action} is done, and not what it came to"),
            ));
        }
    };
    let unreadable = |what: &str| {
        error(
            ErrorKind::Protocol,
            format!("{address} answered action {action} with {what}"),
        )
    };
    if !any
        .type_url
        .ends_with("build.bazel.remote.execution.v2.ExecuteResponse")
    {
        let what = format!("a message of type `{}`", bounded(&any.type_url));
        return Err(unreadable(&what));
    }
    let response = proto::ExecuteResponse::decode(any.value.as_slice())
        .map_err(|_| unreadable("a message that cannot be read"))?;
    let message = bounded(&response.message);
    if let Some(status) = &response.status
        && status.code != 0
    {
        return Err(failed(status, response.result, &message, address, action));
    }
    let result = response
        .result
        .ok_or_else(|| unreadable("a success without a result"))?;
    Ok((result::read(result)?, response.cached_result, message))
}

/// The error that a status other than OK is.
fn failed(
    status: &rpc::Status,
    partial: Option<proto::ActionResult>,
    message: &str,
    address: &str,
    action: &BlobDigest,
) -> Error {
    let code = Code::from(status.code);
    let mut said = bounded(&status.message);
    if said.is_empty() {
        code.description().clone_into(&mut said);
    }
    if !message.is_empty() && message != said {
        said = format!("{said} ({message})");
    }
    let text = format!("{address} could not execute action {action}: {said}");
    match code {
        Code::DeadlineExceeded => {
            let partial = partial
                .and_then(|partial| result::read(partial).ok())
                .map(Box::new);
            error(
                ErrorKind::TimedOut(partial),
                format!("action {action} ran longer than it may at {address}: {said}"),
            )
        }
        Code::Cancelled => error(
            ErrorKind::Cancelled,
            format!("action {action} was cancelled at {address}: {said}"),
        ),
        Code::NotFound | Code::FailedPrecondition => {
            violations::of_details(code, &status.message, &status.details, text)
        }
        Code::InvalidArgument | Code::Unimplemented => error(ErrorKind::Refused, text),
        Code::PermissionDenied | Code::Unauthenticated => hinted(
            ErrorKind::Unauthorized,
            text,
            "Look at the headers and the client certificate that are sent, and whether they are still valid.",
        ),
        _ => error(ErrorKind::Infrastructure, text),
    }
}
