//! Files that a connection sends without reading them.
//!
//! Hyper knows bodies as bytes in memory. So a body that is a file hands it slices of a placeholder that is never read
//! or written, and puts into the connection's outbox what they stand for, in the same order. The socket below
//! ([`super::socket`]) recognises the placeholder by its address, and has the kernel send the file instead. It relies on
//! hyper queueing what bodies hand out instead of copying it, which it does for sockets with vectored writes; a slice
//! that does not fit what is in the outbox ends the connection.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Size of the placeholder: what a body hands out at once, and what the kernel is told to send at once.
const LARGEST: usize = 1 << 20;

/// Zeroed memory that nobody touches, so it takes none.
static PLACEHOLDER: LazyLock<&'static [u8]> = LazyLock::new(|| Vec::leak(vec![0; LARGEST]));

/// What slices of the placeholder stand for, in the order of the connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<VecDeque<Segment>>);

/// A part of a file that is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) file: Arc<File>,
    pub(super) range: Range<u64>,
}

/// A range of a file as a body, for the connection with this outbox.
#[derive(Debug)]
pub(crate) struct FileBody {
    outbox: Arc<Outbox>,
    file: Arc<File>,
    range: Range<u64>,
}

/// Whether these bytes are not meant, but what the outbox has next.
pub(super) fn is_placeholder(slice: &[u8]) -> bool {
    PLACEHOLDER.as_ptr_range().contains(&slice.as_ptr())
}

impl Outbox {
    fn push(&self, segment: Segment) {
        self.queue().push_back(segment);
    }

    /// What comes next, if a slice of the placeholder with this length stands for it.
    pub(super) fn next(&self, length: usize) -> Option<Segment> {
        let queue = self.queue();
        let next = queue.front()?;
        (next.range.end - next.range.start == length as u64).then(|| next.clone())
    }

    /// So many bytes of what comes next were sent.
    pub(super) fn advance(&self, sent: u64) {
        let mut queue = self.queue();
        if let Some(next) = queue.front_mut() {
            next.range.start += sent;
            if next.range.is_empty() {
                queue.pop_front();
            }
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Segment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileBody {
    /// The bytes of `file` in `range`.
    pub(crate) fn new(outbox: Arc<Outbox>, file: Arc<File>, range: Range<u64>) -> Self {
        Self {
            outbox,
            file,
            range,
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let remaining = self.range.end - self.range.start;
        let length = usize::try_from(remaining).unwrap_or(LARGEST).min(LARGEST);
        let Some(slice) = PLACEHOLDER.get(..length).filter(|it| !it.is_empty()) else {
            return Poll::Ready(None);
        };
        let start = self.range.start;
        self.range.start += length as u64;
        self.outbox.push(Segment {
            file: self.file.clone(),
            range: start..self.range.start,
        });
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(slice)))))
    }

    fn is_end_stream(&self) -> bool {
        self.range.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.range.end - self.range.start)
    }
}
