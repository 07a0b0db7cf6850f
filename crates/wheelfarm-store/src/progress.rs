//! How far long work on a store is, for who shows it.

use std::sync::Arc;

use crate::{Amount, Store};

/// What [`Store::verify`], [`Store::collect`], [`Store::export`] and [`Store::import`] do one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Asking what there is.
    List,
    /// Reading blobs.
    Blobs,
    /// Reading records and series.
    Records,
    /// Reading logs.
    Logs,
    /// Moving blobs to the trash.
    Move,
    /// Looking what of the trash can go.
    Trash,
    /// Writing an archive.
    Write,
    /// Taking in an archive.
    Take,
}

/// Something that happened. A part ends where the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A part begins; it has so much to do, if that is known.
    Begun(Part, Option<Amount>),
    /// So many bytes were read or written.
    Bytes(u64),
    /// An object is done.
    Object,
}

/// Is told of progress, often, in the midst of work.
pub type Watch = Arc<dyn Fn(Progress) + Send + Sync>;

impl Part {
    /// What is done, as a word or two: `reading blobs`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "listing",
            Self::Blobs => "reading blobs",
            Self::Records => "reading records",
            Self::Logs => "reading logs",
            Self::Move => "moving blobs to the trash",
            Self::Trash => "looking into the trash",
            Self::Write => "writing",
            Self::Take => "taking in",
        }
    }
}

impl Store {
    /// The same store, whose long work is watched.
    #[must_use]
    pub fn watched(&self, watch: Watch) -> Self {
        Self {
            watch: Some(watch),
            ..self.clone()
        }
    }

    pub(crate) fn begin(&self, part: Part, of: Option<Amount>) {
        self.tell(Progress::Begun(part, of));
    }

    pub(crate) fn tell(&self, progress: Progress) {
        if let Some(watch) = &self.watch {
            watch(progress);
        }
    }
}
