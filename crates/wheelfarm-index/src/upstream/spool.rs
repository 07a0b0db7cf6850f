//! A file that grows: one task writes it, and any number of clients read behind it.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::sync::watch;
use wheelfarm_types::{Digest, Hasher};

use super::client::Failure;

/// Bytes that are read from it at once.
const CHUNK: u64 = 128 << 10;

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// The index has not answered yet, or what it sends cannot be handed on before it is whole.
    Waiting,
    /// So many bytes are there, of so many, if that is known.
    Flowing { written: u64, total: Option<u64> },
    /// It is whole and has the digest that it must have.
    Verified { size: u64 },
    /// There will be no more.
    Failed(Failure),
}

/// A file that is being fetched, as its readers see it.
pub(super) struct Growing {
    progress: watch::Sender<Progress>,
    file: OnceLock<Arc<File>>,
}

/// One who reads a file while it is fetched. As long as there is one, the fetch goes on.
pub(super) struct Follower {
    growing: Arc<Growing>,
    progress: watch::Receiver<Progress>,
}

impl Growing {
    pub(super) fn new() -> Self {
        Self {
            progress: watch::channel(Progress::Waiting).0,
            file: OnceLock::new(),
        }
    }

    /// Lets its readers have `file`, and know how far it is.
    pub(super) fn show(&self, file: &Arc<File>, progress: Progress) {
        self.file.get_or_init(|| Arc::clone(file));
        self.progress.send_replace(progress);
    }

    /// Says how far it is.
    pub(super) fn set(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Whether anybody reads it.
    pub(super) fn is_followed(&self) -> bool {
        self.progress.receiver_count() > 0
    }

    /// Until nobody reads it any more.
    pub(super) async fn abandoned(&self) {
        self.progress.closed().await;
    }

    pub(super) fn follow(self: &Arc<Self>) -> Follower {
        Follower {
            growing: Arc::clone(self),
            progress: self.progress.subscribe(),
        }
    }
}

impl Follower {
    /// Waits until something can be said of the file: how large it is, if anybody knows, and whether it is whole.
    pub(super) async fn beginning(&mut self) -> Result<(Option<u64>, bool), Failure> {
        let is_more = |progress: &Progress| *progress != Progress::Waiting;
        match &*self.wait(is_more).await? {
            Progress::Flowing { total, .. } => Ok((*total, false)),
            Progress::Verified { size } => Ok((Some(*size), true)),
            Progress::Failed(failure) => Err(failure.clone()),
            Progress::Waiting => Err(gone()),
        }
    }

    /// Waits until the file is whole; its size.
    pub(super) async fn end(&mut self) -> Result<u64, Failure> {
        let is_end = |progress: &Progress| {
            matches!(progress, Progress::Verified { .. } | Progress::Failed(_))
        };
        match &*self.wait(is_end).await? {
            Progress::Verified { size } => Ok(*size),
            Progress::Failed(failure) => Err(failure.clone()),
            Progress::Waiting | Progress::Flowing { .. } => Err(gone()),
        }
    }

    async fn wait(
        &mut self,
        until: impl FnMut(&Progress) -> bool,
    ) -> Result<watch::Ref<'_, Progress>, Failure> {
        self.progress.wait_for(until).await.map_err(|_| gone())
    }

    /// The bytes of `range` as they come; without an end, all from its beginning on.
    ///
    /// The last byte is held back until the whole file is known to be right: whoever gets a complete answer has the
    /// right one. If it is wrong the stream ends with an error, which aborts the connection.
    pub(super) fn read(
        self,
        range: Range<u64>,
    ) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
        futures::stream::try_unfold((self, range), async |(mut follower, range)| {
            let from = range.start;
            if range.is_empty() {
                return Ok(None);
            }
            let is_news = |progress: &Progress| match progress {
                Progress::Waiting => false,
                Progress::Flowing { written, .. } => *written > from + 1,
                Progress::Verified { .. } | Progress::Failed(_) => true,
            };
            let to = match &*follower.wait(is_news).await.map_err(|it| failed(&it))? {
                Progress::Flowing { written, .. } => written - 1,
                Progress::Verified { size } => *size,
                Progress::Failed(failure) => return Err(failed(failure)),
                Progress::Waiting => return Err(failed(&gone())),
            };
            let to = to.min(range.end).min(from + CHUNK);
            if to <= from {
                return Ok(None);
            }
            let Some(file) = follower.growing.file.get().map(Arc::clone) else {
                return Err(failed(&gone()));
            };
            let chunk = tokio::task::spawn_blocking(move || {
                let length = usize::try_from(to - from).map_err(io::Error::other)?;
                let mut chunk = vec![0; length];
                file.read_exact_at(&mut chunk, from)?;
                Ok::<_, io::Error>(Bytes::from(chunk))
            })
            .await
            .map_err(io::Error::other)??;
            Ok(Some((chunk, (follower, to..range.end))))
        })
    }
}

fn gone() -> Failure {
    Failure::Down("the fetch ended".to_owned())
}

fn failed(failure: &Failure) -> io::Error {
    io::Error::other(format!("{failure:?}"))
}

/// Writes a spool, and knows the digest of what it has written.
pub(super) struct Writer {
    pub(super) spool: NamedTempFile,
    pub(super) hasher: Hasher,
    pub(super) written: u64,
}

impl Writer {
    pub(super) fn new(spool: NamedTempFile) -> Self {
        Self {
            spool,
            hasher: Hasher::default(),
            written: 0,
        }
    }

    /// A second handle of the same file, for readers.
    pub(super) fn reader(&self) -> io::Result<Arc<File>> {
        self.spool.reopen().map(Arc::new)
    }

    /// Adds a chunk, where blocking is allowed.
    pub(super) async fn add(mut self, chunk: Bytes) -> io::Result<Self> {
        tokio::task::spawn_blocking(move || {
            self.spool.write_all(&chunk)?;
            self.hasher.update(&chunk);
            self.written += chunk.len() as u64;
            Ok(self)
        })
        .await
        .map_err(io::Error::other)?
    }

    /// The digest of all that is written so far.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }
}
