//! What can go wrong with a store.

use std::error::Error;
use std::fmt;
use std::io;

/// A failure of the store, with the object it concerns.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    object: String,
    detail: String,
}

/// Kinds of [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Not there.
    NotFound,
    /// The bytes do not have the digest they are stored under, or a record does not parse.
    Corrupt,
    /// More bytes than the caller holds in memory.
    TooLarge,
    /// No space left, or a quota is used up.
    Full,
    /// Not allowed to read or write.
    Denied,
    /// Written by a newer version of this program, or no store at all.
    Layout,
    /// The address names no store.
    Address,
    /// Anything else.
    Io,
}

impl StoreError {
    pub(crate) fn new(
        kind: StoreErrorKind,
        object: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            object: object.into(),
            detail: detail.into(),
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// What to try, if there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind {
            StoreErrorKind::Full => Some(
                "free space there, or name another place with `--store`; nothing half written was kept",
            ),
            StoreErrorKind::Denied => {
                Some("name a directory that you may write with `--store` or WHEELFARM_STORE")
            }
            StoreErrorKind::Corrupt => Some(
                "`wheelfarm store verify --repair` removes what is damaged, so that it is made again",
            ),
            _ => None,
        }
    }

    pub(crate) fn from_io(error: &io::Error, object: &str) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => StoreErrorKind::NotFound,
            other => kind_of_io(other).unwrap_or(StoreErrorKind::Io),
        };
        Self::new(kind, object, error.to_string())
    }

    pub(crate) fn from_object_store(error: &object_store::Error, object: &str) -> Self {
        let io = io_cause(error);
        let kind = match (error, io) {
            (object_store::Error::NotFound { .. }, _) => StoreErrorKind::NotFound,
            (
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. },
                _,
            ) => StoreErrorKind::Denied,
            (_, io) => io.and_then(kind_of_io).unwrap_or(StoreErrorKind::Io),
        };
        Self::new(kind, object, error.to_string())
    }
}

fn kind_of_io(error: io::ErrorKind) -> Option<StoreErrorKind> {
    match error {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(StoreErrorKind::Full),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some(StoreErrorKind::Denied)
        }
        _ => None,
    }
}

/// The I/O error at the bottom of `error`, if there is one.
fn io_cause(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // Wrapped again by some libraries: the innermost one knows.
            return io
                .get_ref()
                .and_then(|inner| io_cause(inner))
                .or(Some(io.kind()));
        }
        cause = error.source();
    }
    None
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, detail, .. } = self;
        match self.kind {
            StoreErrorKind::NotFound => write!(f, "the store has no `{object}`"),
            StoreErrorKind::Corrupt => write!(f, "`{object}` in the store is damaged: {detail}"),
            StoreErrorKind::Full => write!(
                f,
                "the store is full: `{object}` could not be written ({detail})"
            ),
            StoreErrorKind::Denied => {
                write!(f, "no permission for `{object}` in the store ({detail})")
            }
            StoreErrorKind::TooLarge => write!(f, "`{object}` in the store is too large: {detail}"),
            StoreErrorKind::Layout | StoreErrorKind::Address => write!(f, "`{object}`: {detail}"),
            StoreErrorKind::Io => write!(f, "the store failed at `{object}`: {detail}"),
        }
    }
}

impl Error for StoreError {}
