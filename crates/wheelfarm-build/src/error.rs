//! Why a job failed.

use std::fmt;

use wheelfarm_resolve::{ResolveError, ResolveErrorKind};
use wheelfarm_store::StoreError;
use wheelfarm_types::Digest;

use crate::action::{ExecutorError, ExecutorErrorKind};

/// A failed job: what is true, what to try, and the log if a build left one.
#[derive(Debug, Clone)]
pub struct JobError {
    /// Who is to act.
    pub kind: JobErrorKind,
    /// What is true.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
    /// The full log, in the store.
    pub log: Option<Digest>,
    /// The end of the log.
    pub tail: Vec<String>,
    /// What would let the build succeed.
    pub remedy: Option<Box<Remedy>>,
}

/// What a failed build lacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// The system package that has it.
    pub package: String,
}

/// Kinds of [`JobError`], as exit codes tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobErrorKind {
    /// The request cannot be met: no such package, no such version, no such image.
    Request,
    /// The package: its source, its build, its wheel.
    Package,
    /// The wheel does not hold what its name says.
    Audit,
    /// This machine: engine, network, store, disk.
    Machine,
    /// The user's wish.
    Cancelled,
}

impl JobError {
    /// A failure without hint or log.
    pub fn new(kind: JobErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            log: None,
            tail: Vec::new(),
            remedy: None,
        }
    }

    /// Says first where it happened: `outer: message`.
    #[must_use]
    pub(crate) fn within(mut self, outer: impl fmt::Display) -> Self {
        self.message = format!("{outer}: {}", self.message);
        self
    }

    /// Adds something to try beside what is there.
    #[must_use]
    pub(crate) fn and_hint(mut self, more: String) -> Self {
        self.hint = Some(match self.hint {
            Some(hint) => format!("{hint}\n{more}"),
            None => more,
        });
        self
    }

    /// Adds what to try.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for JobError {}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        Self::new(JobErrorKind::Machine, error.to_string())
            .with_hint(error.hint().map(str::to_owned))
    }
}

impl From<std::io::Error> for JobError {
    fn from(error: std::io::Error) -> Self {
        Self::new(JobErrorKind::Machine, error.to_string())
    }
}

impl From<ResolveError> for JobError {
    fn from(error: ResolveError) -> Self {
        let kind = match error.kind() {
            ResolveErrorKind::Unsatisfiable | ResolveErrorKind::Lock | ResolveErrorKind::Input => {
                JobErrorKind::Request
            }
            ResolveErrorKind::HashMismatch
            | ResolveErrorKind::NeedsBuild
            | ResolveErrorKind::Source => JobErrorKind::Package,
            ResolveErrorKind::Network
            | ResolveErrorKind::Uv
            | ResolveErrorKind::Store
            | ResolveErrorKind::Io => JobErrorKind::Machine,
        };
        Self::new(kind, error.to_string()).with_hint(error.hint_text().map(str::to_owned))
    }
}

impl From<ExecutorError> for JobError {
    fn from(error: ExecutorError) -> Self {
        let kind = match error.kind {
            ExecutorErrorKind::Cancelled => JobErrorKind::Cancelled,
            ExecutorErrorKind::Packages => JobErrorKind::Request,
            ExecutorErrorKind::Output | ExecutorErrorKind::Lost => JobErrorKind::Package,
            _ => JobErrorKind::Machine,
        };
        Self::new(kind, error.message).with_hint(error.hint)
    }
}
