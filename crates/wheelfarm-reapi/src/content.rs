//! Where the content of uploads comes from.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error};

/// Content of a blob.
#[derive(Clone)]
pub enum Content {
    /// It is here.
    Given(Bytes),
    /// It is read when its turn comes; not at all if the server has it.
    From(Arc<dyn Source>),
}

/// Something that content is read from: a store, a file.
pub trait Source: Send + Sync {
    /// The bytes of `digest` from `offset` on. Called again, with the offset that was reached, when a connection
    /// breaks.
    fn open(
        &self,
        digest: &BlobDigest,
        offset: u64,
    ) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>>;
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(bytes) => write!(f, "Given({} bytes)", bytes.len()),
            Self::From(_) => f.write_str("From"),
        }
    }
}

/// Reads content in pieces of a size that suits messages, and sees to it that there is as much as its digest says.
pub(crate) struct Pieces {
    digest: BlobDigest,
    stream: BoxStream<'static, io::Result<Bytes>>,
    rest: Bytes,
    left: u64,
    ended: bool,
}

impl Pieces {
    /// Content from `offset` on, which is within it.
    pub(crate) async fn open(
        content: &Content,
        digest: &BlobDigest,
        offset: u64,
    ) -> Result<Self, Error> {
        let stream = match content {
            Content::Given(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                futures::stream::iter([Ok(bytes.slice(start..))]).boxed()
            }
            Content::From(source) => source
                .open(digest, offset)
                .await
                .map_err(|reason| unreadable(digest, &reason))?,
        };
        Ok(Self {
            digest: *digest,
            stream,
            rest: Bytes::new(),
            left: digest.size.saturating_sub(offset),
            ended: false,
        })
    }

    /// The next `most` bytes: fewer only at the end, none after it.
    pub(crate) async fn next(&mut self, most: usize) -> Result<Vec<u8>, Error> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(most);
        let mut piece = Vec::with_capacity(wanted);
        while piece.len() < wanted {
            if self.rest.is_empty() {
                self.rest = match self.stream.next().await {
                    Some(chunk) => chunk.map_err(|reason| unreadable(&self.digest, &reason))?,
                    None => return Err(self.wrong_size("shorter")),
                };
                continue;
            }
            let taken = self
                .rest
                .split_to(self.rest.len().min(wanted - piece.len()));
            piece.extend_from_slice(&taken);
        }
        self.left = self
            .left
            .saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        // Some streams may not be asked again after their end.
        if self.left == 0 && !self.ended {
            self.expect_end().await?;
            self.ended = true;
        }
        Ok(piece)
    }

    /// How many bytes are still to come.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    async fn expect_end(&mut self) -> Result<(), Error> {
        while self.rest.is_empty() {
            match self.stream.next().await {
                None => return Ok(()),
                Some(chunk) => {
                    self.rest = chunk.map_err(|reason| unreadable(&self.digest, &reason))?;
                }
            }
        }
        Err(self.wrong_size("longer"))
    }

    fn wrong_size(&self, how: &str) -> Error {
        error(
            ErrorKind::Source,
            format!(
                "the content for the upload of {} is {how} than that",
                self.digest
            ),
        )
    }
}

fn unreadable(digest: &BlobDigest, reason: &io::Error) -> Error {
    error(
        ErrorKind::Source,
        format!("the content for the upload of {digest} could not be read: {reason}"),
    )
}
