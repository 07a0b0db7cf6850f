//! Errors of every executor.

use std::fmt::Display;

use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};
use wheelfarm_store::StoreError;

pub(crate) type Result<T, E = ExecutorError> = std::result::Result<T, E>;

/// An error without a hint.
pub(crate) fn error(kind: ExecutorErrorKind, message: impl Into<String>) -> ExecutorError {
    ExecutorError {
        kind,
        message: message.into(),
        hint: None,
    }
}

/// An error with a hint.
pub(crate) fn hinted(
    kind: ExecutorErrorKind,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> ExecutorError {
    ExecutorError {
        hint: Some(hint.into()),
        ..error(kind, message)
    }
}

/// For `map_err`: the store could not give an input.
pub(crate) fn store(source: &StoreError) -> ExecutorError {
    error(
        ExecutorErrorKind::Store,
        format!("an input could not be read from the store: {source}"),
    )
}

/// For `map_err`: something on this machine failed.
pub(crate) fn io(what: impl Display) -> impl FnOnce(std::io::Error) -> ExecutorError {
    move |source| {
        error(
            ExecutorErrorKind::Engine,
            format!("could not {what}: {source}"),
        )
    }
}

/// The user cancelled `what`.
pub(crate) fn cancelled(what: impl Display) -> ExecutorError {
    error(ExecutorErrorKind::Cancelled, format!("cancelled: {what}"))
}
