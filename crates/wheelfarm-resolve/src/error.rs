//! What can go wrong between a requirement and its files.

use std::fmt;

use wheelfarm_store::StoreError;
use wheelfarm_types::{ProjectName, Version};

/// A failure to resolve or fetch: what is true, and what to try.
#[derive(Debug)]
pub struct ResolveError {
    kind: ResolveErrorKind,
    message: String,
    hint: Option<String>,
    needs_build: Option<(ProjectName, Option<Version>)>,
}

/// Kinds of [`ResolveError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveErrorKind {
    /// No such package, or no versions that fit together.
    Unsatisfiable,
    /// The index or a file's host does not answer, or refuses.
    Network,
    /// A file does not have the hash that the lock gives.
    HashMismatch,
    /// `uv` could not be had or run.
    Uv,
    /// The dependencies of a source distribution are known only by running its code.
    NeedsBuild,
    /// An argument or input file that says nothing that can be done.
    Input,
    /// A lock that is not what PEP 751 says, or names what the farm does not take.
    Lock,
    /// A source distribution that is none.
    Source,
    /// The store failed.
    Store,
    /// A local file could not be read or written.
    Io,
}

impl ResolveError {
    pub(crate) fn new(kind: ResolveErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            needs_build: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says where it is about.
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    pub(crate) fn needing(mut self, package: Option<(ProjectName, Option<Version>)>) -> Self {
        self.needs_build = package;
        self
    }

    /// For [`ResolveErrorKind::NeedsBuild`]: which package; one of a [`crate::sources::Source`] without version.
    pub fn needs_build(&self) -> Option<&(ProjectName, Option<Version>)> {
        self.needs_build.as_ref()
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ResolveErrorKind {
        self.kind
    }

    /// What to try.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ResolveError {}

impl From<StoreError> for ResolveError {
    fn from(error: StoreError) -> Self {
        Self {
            hint: error.hint().map(str::to_owned),
            ..Self::new(ResolveErrorKind::Store, error.to_string())
        }
    }
}

impl From<std::io::Error> for ResolveError {
    // `fs_err` puts the path into the message.
    fn from(error: std::io::Error) -> Self {
        Self::new(ResolveErrorKind::Io, error.to_string())
    }
}
