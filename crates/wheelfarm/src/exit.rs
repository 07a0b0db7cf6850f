//! How the program ends.

use std::process::ExitCode;

use wheelfarm_build::{ExecutorError, JobError, JobErrorKind};
use wheelfarm_store::StoreError;

/// Exit codes: part of the program's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Ok = 0,
    /// An audit or a proof found something.
    Finding = 1,
    /// The request or the configuration cannot be met as written.
    Usage = 2,
    /// A package failed to build.
    BuildFailed = 3,
    /// This machine: engine, network, store, disk.
    Environment = 4,
    /// The program panicked.
    Bug = 70,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

/// An error that ends the program: what is true, and what to try.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
            hint: None,
        }
    }

    /// What was looked at is not as it should be.
    pub(crate) fn finding(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Finding,
            ..Self::usage(message)
        }
    }

    pub(crate) fn machine(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Environment,
            ..Self::usage(message)
        }
    }

    pub(crate) fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

impl Exit {
    /// The exit code of a program elsewhere; one that is not known is taken for the fault of what is between us.
    pub(crate) fn of_code(code: u8) -> Self {
        let known = [
            Self::Ok,
            Self::Finding,
            Self::Usage,
            Self::BuildFailed,
            Self::Interrupted,
        ];
        let known = known.into_iter().find(|known| *known as u8 == code);
        known.unwrap_or(Self::Environment)
    }

    pub(crate) fn of(kind: JobErrorKind) -> Self {
        match kind {
            JobErrorKind::Audit => Self::Finding,
            JobErrorKind::Request => Self::Usage,
            JobErrorKind::Package => Self::BuildFailed,
            JobErrorKind::Machine => Self::Environment,
            JobErrorKind::Cancelled => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self {
            exit: Exit::of(error.kind),
            message: error.message,
            hint: error.hint,
        }
    }
}

impl From<ExecutorError> for Failure {
    fn from(error: ExecutorError) -> Self {
        JobError::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self::machine(error.to_string()).with_hint(hint)
    }
}
