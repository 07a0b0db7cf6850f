//! The body of an upload: `multipart/form-data` (RFC 7578), made while it is sent.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::{StreamExt, stream};
use reqwest::Body;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use wheelfarm_types::Digest;

use super::answer::Lost;
use crate::exit::Failure;

/// Bytes that are read of a file at once.
const CHUNK: usize = 256 << 10;

/// A form, the file in it not read yet.
pub(super) struct Form {
    boundary: String,
    /// What comes before the file, and behind it.
    head: String,
    tail: String,
    path: PathBuf,
    size: u64,
}

/// What of a body is on its way.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    bytes: Arc<AtomicU64>,
    /// Why the file could not be read.
    unread: Arc<OnceLock<String>>,
}

impl Form {
    /// A form with these fields, and last the file.
    pub(super) fn new(
        fields: &[(&str, String)],
        path: &Path,
        name: &str,
        size: u64,
        sha256: &Digest,
    ) -> Self {
        // No file has its own digest in it, nor has what it says of itself.
        let boundary: String = sha256.to_string().chars().take(48).collect();
        let mut head = String::new();
        for (field, value) in fields {
            // Writing to a string cannot fail.
            let _infallible = write!(
                head,
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            );
        }
        // Names that parse have no quote and no line break in them.
        let _infallible = write!(
            head,
            "--{boundary}\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        Self {
            tail: format!("\r\n--{boundary}--\r\n"),
            boundary,
            head,
            path: path.to_owned(),
            size,
        }
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Bytes of the body.
    pub(super) fn length(&self) -> u64 {
        self.size + (self.head.len() + self.tail.len()) as u64
    }

    /// The body, and what tells how much of it was taken.
    pub(super) async fn body(self) -> Result<(Body, Sent), Failure> {
        let path = self.path.display();
        let file = tokio::fs::File::open(&self.path).await;
        let file = file.map_err(|error| Failure::machine(format!("{path}: {error}")))?;
        let sent = Sent {
            bytes: Arc::default(),
            unread: Arc::default(),
        };
        let counting = sent.clone();
        let text =
            |text: String| stream::once(async { Ok::<_, std::io::Error>(Bytes::from(text)) });
        // What was added since it was hashed is not sent; what is missing is an error of the body's length.
        let file = ReaderStream::with_capacity(file.take(self.size), CHUNK);
        let pieces = text(self.head)
            .chain(file)
            .chain(text(self.tail))
            .inspect(move |piece| counting.note(piece));
        Ok((Body::wrap_stream(pieces), sent))
    }
}

impl Sent {
    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn note(&self, piece: &std::io::Result<Bytes>) {
        match piece {
            Ok(piece) => {
                self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            Err(error) => {
                self.unread.get_or_init(|| error.to_string());
            }
        }
    }

    /// Why a request failed, of which the client says `why`.
    pub(super) fn lost(&self, path: &Path, size: u64, why: String) -> Lost {
        let path_shown = path.display();
        if let Some(unread) = self.unread.get() {
            return Lost::File(Failure::machine(format!("{path_shown}: {unread}")));
        }
        let now = fs_err::metadata(path).map(|metadata| metadata.len());
        if now.is_ok_and(|now| now != size) {
            let message = format!("{path_shown}: it was changed while it was sent");
            return Lost::File(Failure::machine(message));
        }
        Lost::Connection(why)
    }
}
