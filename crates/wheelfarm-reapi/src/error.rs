//! Errors, and what a server's status means for whoever asked.

use std::error::Error as _;
use std::fmt::Display;

use tonic::{Code, Status};

use crate::digest::BlobDigest;
use crate::result::ActionResult;
use crate::violations;

/// What went wrong with a remote, and what to try.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// For callers that act on it.
    pub kind: ErrorKind,
    /// What is true.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

/// What a caller may want to tell apart.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for cannot be: a bad address, header, path.
    Invalid,
    /// An endpoint does not answer, and did not for as long as patience lasts.
    Unreachable,
    /// The server does not let us (`UNAUTHENTICATED`, `PERMISSION_DENIED`).
    Unauthorized,
    /// The server cannot do this, now or later (`INVALID_ARGUMENT`, `FAILED_PRECONDITION`, `UNIMPLEMENTED`): an
    /// unknown property, say.
    Refused,
    /// The server has not, or no longer, what is needed. Empty if it does not say which blobs: then any may be missing.
    MissingBlobs(Vec<BlobDigest>),
    /// The remote failed, not the command (`INTERNAL`, `UNAVAILABLE`, `RESOURCE_EXHAUSTED` and the like): another try
    /// may help.
    Infrastructure,
    /// The command ran longer than its action allows (`DEADLINE_EXCEEDED`); with what it had written until then.
    TimedOut(Option<Box<ActionResult>>),
    /// Somebody cancelled the action: we, or the server.
    Cancelled,
    /// No worker took the action for as long as we wanted to wait.
    QueueTimeout,
    /// The action was neither queued too long nor timed out by the server, but our own deadline passed.
    Overdue,
    /// Content is not what its digest says, or cannot be read.
    Corrupt,
    /// Something is larger than the limit that was set for it.
    TooLarge,
    /// The server said what it must not say.
    Protocol,
    /// Content for an upload could not be read.
    Source,
}

/// An error without a hint.
pub(crate) fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error {
        kind,
        message: message.into(),
        hint: None,
    }
}

/// An error with a hint.
pub(crate) fn hinted(
    kind: ErrorKind,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Error {
    Error {
        hint: Some(hint.into()),
        ..error(kind, message)
    }
}

/// The answer to a call was no: `what` is an infinitive, `find missing blobs`.
pub(crate) fn refused(endpoint: &str, what: impl Display, status: &Status) -> Error {
    let said = said(status);
    let message = format!("{endpoint} could not {what}: {said}");
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => hinted(
            ErrorKind::Unauthorized,
            message,
            "Look at the headers and the client certificate that are sent, and whether they are still valid.",
        ),
        Code::FailedPrecondition | Code::NotFound => {
            violations::meaning(status.code(), status.message(), status.details(), message)
        }
        Code::Unimplemented => hinted(
            ErrorKind::Refused,
            message,
            "Look whether the address is the right one: storage and execution may be at different ones.",
        ),
        Code::OutOfRange if status.message().contains("too large") => {
            error(ErrorKind::TooLarge, message)
        }
        Code::InvalidArgument | Code::AlreadyExists | Code::OutOfRange => {
            error(ErrorKind::Refused, message)
        }
        Code::Cancelled if !from_transport(status) => error(ErrorKind::Cancelled, message),
        _ if is_untrusted(status) => hinted(
            ErrorKind::Unreachable,
            message,
            "The certificate is not trusted: name the authority that signed it, and the host name that is in it.",
        ),
        _ if from_transport(status) || status.code() == Code::Unavailable => hinted(
            ErrorKind::Unreachable,
            message,
            "Look whether the server runs and whether this machine may connect to it; \
             `grpcs://` is with TLS, `grpc://` without.",
        ),
        _ => error(ErrorKind::Infrastructure, message),
    }
}

/// Whether to ask again: the connection broke, or the server is away or busy.
pub(crate) fn is_transient(status: &Status) -> bool {
    if is_untrusted(status) {
        return false;
    }
    match status.code() {
        Code::Unavailable => true,
        // That is how servers refuse large messages, too, and those do not become smaller.
        Code::ResourceExhausted => !status.message().contains("larger than"),
        Code::OutOfRange | Code::Unauthenticated | Code::Unimplemented => false,
        // A stream that ended in the middle: tonic has no cause for it, only that the status is missing.
        Code::Unknown if status.message().contains("grpc-status") => true,
        _ => from_transport(status),
    }
}

/// Whether a status was made here, because the connection failed. What servers say has no cause.
fn from_transport(status: &Status) -> bool {
    status.source().is_some()
}

/// Whether TLS failed for a reason that does not go away.
fn is_untrusted(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::InvalidData
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// What a status says, bounded, without the client's wrapping.
pub(crate) fn said(status: &Status) -> String {
    // The innermost cause is the one that says something: "Connection refused".
    let mut innermost = None;
    let mut cause = status.source();
    while let Some(inner) = cause {
        innermost = Some(inner.to_string());
        cause = inner.source();
    }
    match innermost {
        Some(text) => bounded(&text),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => bounded(status.message()),
    }
}

/// What a server said, on one line and not longer than a message may be.
pub(crate) fn bounded(text: &str) -> String {
    let mut line: String = text
        .chars()
        .take(1000)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    line.truncate(line.trim_end_matches([' ', '.']).len());
    line
}
