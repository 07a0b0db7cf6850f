//! Large blobs, as streams (`ByteStream.Write`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bazel_remote_apis::google::bytestream as proto;
use futures::{Stream, StreamExt};
use proto::byte_stream_client::ByteStreamClient;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::calls::At;
use crate::client::Client;
use crate::compress::{self, Compressor};
use crate::content::{Content, Pieces};
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error, refused};

/// Content of one message, in bytes.
const PIECE: usize = 256 << 10;
/// Messages that do not fit into what a connection holds before somebody reads it.
const MUCH: u64 = 16;
/// Attempts in which a server took nothing, or forgot what it took, until we say that it does not work.
const FRUITLESS: u32 = 20;

/// What the stream of an attempt and the attempt tell each other.
#[derive(Default)]
struct Attempt {
    /// Why the stream ended early.
    failure: Mutex<Option<Error>>,
    /// Nobody wants the rest: the call is over.
    over: AtomicBool,
    /// Bytes of content that were handed to the connection: how one sees that it moves.
    moved: AtomicU64,
    /// Bytes that were sent, of which there are fewer if they are compressed.
    sent: AtomicU64,
}

impl Client {
    /// Streams a blob. After a break goes on where the server says that it is.
    pub(crate) async fn write(&self, digest: &BlobDigest, content: &Content) -> Result<(), Error> {
        let what = format!("take {digest}");
        let mut patience = self.patience();
        let mut compressed = self.capabilities().zstd && pays_off(content, digest).await?;
        let mut name = self.upload_name(digest, compressed);
        let (mut offset, mut best, mut fruitless, mut resumable) = (0, 0, 0, true);
        loop {
            let attempt = Arc::new(Attempt::default());
            let outcome = self
                .write_once(digest, content, &name, offset, compressed, &attempt)
                .await;
            let failure = attempt
                .failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(failure) = failure {
                return Err(failure);
            }
            let status = match outcome {
                Ok(committed) => {
                    let all = i64::try_from(digest.size).unwrap_or(i64::MAX);
                    let sent =
                        i64::try_from(attempt.sent.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
                    // Of a compressed stream some count what came in, others what came out, and -1 says that the blob
                    // was there already.
                    if committed == all || compressed && (committed == -1 || committed == sent) {
                        return Ok(());
                    }
                    Status::unavailable(format!("it kept {committed} of {all} bytes"))
                }
                Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
                // Not all servers can go on in the middle, though they say where it is.
                Err(status) if status.code() == Code::InvalidArgument && offset > 0 => {
                    resumable = false;
                    Status::unavailable(status.message())
                }
                Err(status) if status.code() == Code::InvalidArgument => {
                    return Err(error(
                        ErrorKind::Source,
                        format!(
                            "{} did not take {digest}, whose content may be another: {}",
                            self.address(At::Storage),
                            crate::error::said(&status)
                        ),
                    ));
                }
                Err(status) => status,
            };
            // A server that takes much, and then breaks off, is not away.
            if attempt.moved.load(Ordering::Relaxed) > MUCH {
                patience.progress();
            }
            fruitless += 1;
            if fruitless > FRUITLESS || !patience.wait(&status).await {
                return Err(refused(self.address(At::Storage), what, &status));
            }
            match self.progress_of(&name).await {
                Some(proto::QueryWriteStatusResponse { complete: true, .. }) => return Ok(()),
                Some(state) if !compressed && resumable => {
                    offset = u64::try_from(state.committed_size)
                        .unwrap_or(0)
                        .min(digest.size);
                }
                // All of it again. Where in a compressed stream one may go on is not defined: now it goes uncompressed.
                _ => {
                    compressed = false;
                    name = self.upload_name(digest, compressed);
                    offset = 0;
                }
            }
            if offset > best {
                best = offset;
                fruitless = 0;
                patience.progress();
            }
        }
    }

    /// `{instance}/uploads/{uuid}/blobs/{hash}/{size}`, or `compressed-blobs/zstd` (`ContentAddressableStorage` in
    /// `remote_execution.proto`).
    fn upload_name(&self, digest: &BlobDigest, compressed: bool) -> String {
        let kind = if compressed {
            "compressed-blobs/zstd"
        } else {
            "blobs"
        };
        format!(
            "{}uploads/{}/{kind}/{digest}",
            self.resource_prefix(),
            uuid()
        )
    }

    /// One stream, from `offset` on. Returns what the server says it has.
    async fn write_once(
        &self,
        digest: &BlobDigest,
        content: &Content,
        name: &str,
        offset: u64,
        compressed: bool,
        attempt: &Arc<Attempt>,
    ) -> Result<i64, Status> {
        let compressor = if compressed {
            Some(Compressor::new().map_err(|reason| Status::internal(reason.to_string()))?)
        } else {
            None
        };
        let pieces = match Pieces::open(content, digest, offset).await {
            Ok(pieces) => pieces,
            Err(failure) => {
                keep(attempt, failure);
                return Err(Status::cancelled("there is no content"));
            }
        };
        let messages = messages(Sending {
            pieces,
            name: name.to_owned(),
            offset,
            compressor,
            attempt: Arc::clone(attempt),
            finished: false,
        });
        let mut calls = self.byte_stream();
        let call = calls.write(self.request(messages, None));
        tokio::pin!(call);
        let mut moved = 0;
        let answer = loop {
            tokio::select! {
                answer = &mut call => break answer,
                () = sleep(self.shared.calls.silence()) => {
                    let now = attempt.moved.load(Ordering::Relaxed);
                    if now == moved {
                        break Err(self.shared.calls.unheard(At::Storage));
                    }
                    moved = now;
                }
            }
        };
        attempt.over.store(true, Ordering::Relaxed);
        answer.map(|response| response.into_inner().committed_size)
    }

    /// What the server has of an upload; nothing if it does not know it.
    async fn progress_of(&self, name: &str) -> Option<proto::QueryWriteStatusResponse> {
        let request = proto::QueryWriteStatusRequest {
            resource_name: name.to_owned(),
        };
        let mut calls = self.byte_stream();
        let call = calls.query_write_status(self.request(request, None));
        Some(self.hear(At::Storage, call).await.ok()?.into_inner())
    }

    /// Calls of the byte stream service.
    pub(crate) fn byte_stream(&self) -> ByteStreamClient<Channel> {
        ByteStreamClient::new(self.channel(At::Storage))
            .max_decoding_message_size(Self::message_limit())
    }
}

/// A stream that is being sent.
struct Sending {
    pieces: Pieces,
    name: String,
    offset: u64,
    compressor: Option<Compressor>,
    attempt: Arc<Attempt>,
    finished: bool,
}

/// The messages of a stream. Content is read as fast as the connection takes it.
fn messages(sending: Sending) -> impl Stream<Item = proto::WriteRequest> + Send + 'static {
    futures::stream::unfold(sending, |mut state| async move {
        if state.finished || state.attempt.over.load(Ordering::Relaxed) {
            return None;
        }
        let data = match next(&mut state.pieces, &mut state.compressor).await {
            Ok(data) => data,
            Err(failure) => {
                keep(&state.attempt, failure);
                return None;
            }
        };
        state.finished = state.pieces.left() == 0;
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let message = proto::WriteRequest {
            // Only the first one needs it; some servers compare it in all.
            resource_name: state.name.clone(),
            write_offset: i64::try_from(state.offset).unwrap_or(i64::MAX),
            finish_write: state.finished,
            data,
        };
        state.offset = state.offset.saturating_add(length);
        state.attempt.sent.fetch_add(length, Ordering::Relaxed);
        state.attempt.moved.fetch_add(1, Ordering::Relaxed);
        Some((message, state))
    })
    .fuse()
}

/// Data of the next message.
async fn next(pieces: &mut Pieces, compressor: &mut Option<Compressor>) -> Result<Vec<u8>, Error> {
    loop {
        let piece = pieces.next(PIECE).await?;
        let Some(compressor) = compressor else {
            return Ok(piece);
        };
        let last = pieces.left() == 0;
        let data = compressor.push(&piece, last).map_err(|reason| {
            error(
                ErrorKind::Source,
                format!("content for an upload could not be compressed: {reason}"),
            )
        })?;
        // A compressor takes a while until something comes out.
        if last || !data.is_empty() {
            return Ok(data);
        }
    }
}

/// Whether compression makes the beginning of a blob smaller, and so, most likely, the rest.
async fn pays_off(content: &Content, digest: &BlobDigest) -> Result<bool, Error> {
    let mut pieces = Pieces::open(content, digest, 0).await?;
    Ok(compress::smaller(&pieces.next(PIECE).await?).is_some())
}

fn keep(attempt: &Attempt, failure: Error) {
    *attempt
        .failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(failure);
}

/// A random UUID (RFC 9562, version 4): names of uploads have one.
fn uuid() -> String {
    let mut bytes = [0; 16];
    // Without randomness it is the same for all uploads of a blob, which then have the same content, too.
    let _ = getrandom::fill(&mut bytes);
    let mut number = u128::from_be_bytes(bytes);
    number = number & !(0xf << 76) | 4 << 76;
    number = number & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{number:032x}");
    let mut text = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_uploads_have_a_random_uuid() {
        let uuid = super::uuid();
        assert_eq!(uuid.len(), 36);
        let parts: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(uuid, super::uuid());
    }
}
