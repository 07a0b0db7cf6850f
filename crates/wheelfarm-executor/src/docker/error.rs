//! Turning what the Docker engine says into sentences.

use std::error::Error as _;
use std::fmt::Display;

use bollard::errors::Error;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};

use crate::error::{error, hinted};

/// What engines say that lack something, and what to do.
const HINTS: [(&str, &str); 2] = [
    (
        "container-init binary not found",
        "Podman needs a program that is the first process in containers: install `catatonit`.",
    ),
    (
        "error setting rlimit",
        "Podman may not raise limits as far as it wants to: name lower ones as `default_ulimits` in its containers.conf.",
    ),
];

/// For `map_err`: the engine refused `what`, an infinitive: `create the container x`.
pub(crate) fn engine(what: impl Display) -> impl FnOnce(Error) -> ExecutorError {
    move |source| {
        if is_connection_error(&source) {
            return hinted(
                ExecutorErrorKind::EngineUnavailable,
                format!(
                    "the container engine stopped answering when asked to {what}: {}",
                    detail(&source)
                ),
                "Look whether the daemon still runs: `docker version`.",
            );
        }
        let detail = detail(&source);
        let message = format!(
            "the container engine could not {what}: {}",
            detail.trim_end_matches('.')
        );
        let hint = HINTS.iter().find(|(text, _)| detail.contains(text));
        match hint {
            Some((_, hint)) => hinted(ExecutorErrorKind::Engine, message, *hint),
            None => error(ExecutorErrorKind::Engine, message),
        }
    }
}

/// Whether the engine said that the thing is not there.
pub(crate) fn is_not_found(source: &Error) -> bool {
    status(source) == Some(404)
}

/// Whether the engine answered that it could not do it now.
pub(crate) fn is_inability(source: &Error) -> bool {
    status(source).is_some_and(|status| status >= 500)
}

/// What the engine said, without the client's wrapping.
pub(crate) fn detail(source: &Error) -> String {
    match source {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => {
            // The innermost cause is the one that says something: "Connection refused".
            let mut text = other.to_string();
            let mut cause = other.source();
            while let Some(inner) = cause {
                text = inner.to_string();
                cause = inner.source();
            }
            text
        }
    }
}

/// The kind of the input/output error at the root of `source`, if there is one.
pub(crate) fn io_kind(source: &Error) -> Option<std::io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source);
    let mut kind = None;
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            kind = Some(io.kind());
        }
        cause = inner.source();
    }
    kind
}

fn status(source: &Error) -> Option<u16> {
    match source {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

fn is_connection_error(source: &Error) -> bool {
    matches!(
        source,
        Error::HyperLegacyError { .. }
            | Error::HyperResponseError { .. }
            | Error::SocketNotFoundError(_)
            | Error::IOError { .. }
    )
}
