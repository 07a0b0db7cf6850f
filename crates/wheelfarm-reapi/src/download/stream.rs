//! Large blobs, as streams (`ByteStream.Read`).

use std::collections::VecDeque;

use bazel_remote_apis::google::bytestream as proto;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::{Code, Status, Streaming};
use wheelfarm_types::Hasher;

use super::{corrupt, missing, verified};
use crate::calls::At;
use crate::client::Client;
use crate::compress::Decompressor;
use crate::digest::BlobDigest;
use crate::error::{Error, refused};
use crate::patience::Patience;

/// A blob that is being read.
struct Reading {
    client: Client,
    digest: BlobDigest,
    compressed: bool,
    patience: Patience,
    hasher: Hasher,
    /// Bytes of content that came, which is where to go on after a break.
    received: u64,
    connection: Option<Connection>,
    /// Content that may be handed out. The last of it comes here together with the news that all is right.
    held: VecDeque<Bytes>,
    whole: bool,
}

/// A call under way.
struct Connection {
    stream: Streaming<proto::ReadResponse>,
    decompressor: Option<Decompressor>,
    /// Where it began.
    offset: u64,
}

impl Client {
    /// The content of a blob of any size, in pieces. Goes on where it was after a break. The last piece comes only if the
    /// digest of all is right; otherwise, and for any other failure, an error is the last item.
    pub fn stream(&self, digest: &BlobDigest) -> BoxStream<'static, Result<Bytes, Error>> {
        let reading = Reading {
            client: self.clone(),
            digest: *digest,
            compressed: self.capabilities().zstd,
            patience: self.patience(),
            hasher: Hasher::default(),
            received: 0,
            connection: None,
            held: VecDeque::new(),
            whole: false,
        };
        futures::stream::unfold(Some(reading), |reading| async {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.digest.size == 0 {
            return verified(&self.digest, Bytes::new()).map(|_| None);
        }
        loop {
            if self.whole || !self.held.is_empty() {
                return Ok(self.held.pop_front());
            }
            let status = match self.advance().await {
                Ok(()) => continue,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Broken(status)) => status,
            };
            self.connection = None;
            let address = self.client.address(At::Storage);
            match status.code() {
                Code::NotFound => return Err(missing(&self.digest, address)),
                Code::DataLoss => return Err(corrupt(&self.digest)),
                // There is less of it than its digest says.
                Code::OutOfRange if self.received > 0 => return Err(corrupt(&self.digest)),
                // A server may know zstd, and yet not for this blob.
                Code::Unimplemented | Code::InvalidArgument if self.compressed => {
                    self.compressed = false;
                }
                _ => {
                    if !self.patience.wait(&status).await {
                        return Err(refused(address, format!("send {}", self.digest), &status));
                    }
                }
            }
        }
    }

    /// Takes one message.
    async fn advance(&mut self) -> Result<(), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let message = self
            .client
            .hear(At::Storage, connection.stream.message())
            .await?;
        let Some(message) = message else {
            return self.end(connection.offset);
        };
        match &mut connection.decompressor {
            None => self.accept(message.data.into())?,
            Some(decompressor) => {
                let mut rest = message.data.as_slice();
                loop {
                    let (taken, content) = decompressor
                        .pull(rest)
                        .map_err(|_| Failure::Final(corrupt(&self.digest)))?;
                    rest = rest.get(taken..).unwrap_or_default();
                    let progress = taken > 0 || !content.is_empty();
                    self.accept(content.into())?;
                    if !progress || rest.is_empty() && self.received == self.digest.size {
                        break;
                    }
                }
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn connect(&mut self) -> Result<Connection, Failure> {
        let kind = if self.compressed {
            "compressed-blobs/zstd"
        } else {
            "blobs"
        };
        // The offset is that of content in both cases.
        let request = proto::ReadRequest {
            resource_name: format!("{}{kind}/{}", self.client.resource_prefix(), self.digest),
            read_offset: i64::try_from(self.received).unwrap_or(i64::MAX),
            read_limit: 0,
        };
        let mut calls = self.client.byte_stream();
        let call = calls.read(self.client.request(request, None));
        let stream = self.client.hear(At::Storage, call).await?;
        Ok(Connection {
            stream: stream.into_inner(),
            offset: self.received,
            decompressor: if self.compressed {
                Some(Decompressor::new().map_err(|error| Status::internal(error.to_string()))?)
            } else {
                None
            },
        })
    }

    /// More content came.
    fn accept(&mut self, content: Bytes) -> Result<(), Failure> {
        if content.is_empty() {
            return Ok(());
        }
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.received = self.received.saturating_add(length);
        if self.received > self.digest.size {
            return Err(Failure::Final(corrupt(&self.digest)));
        }
        self.hasher.update(&content);
        self.held.push_back(content);
        self.patience.progress();
        if self.received == self.digest.size {
            self.check()?;
        }
        Ok(())
    }

    /// The server ended the stream before all was there.
    fn end(&mut self, began: u64) -> Result<(), Failure> {
        // There is no more of it, and it is not broken off.
        if self.received == began {
            return Err(Failure::Final(corrupt(&self.digest)));
        }
        Err(Failure::Broken(Status::unavailable(format!(
            "it ended after {} of {} bytes",
            self.received, self.digest.size
        ))))
    }

    fn check(&mut self) -> Result<(), Failure> {
        if self.hasher.clone().finish() != self.digest.hash {
            return Err(Failure::Final(corrupt(&self.digest)));
        }
        self.whole = true;
        Ok(())
    }
}

/// Why a message was not taken.
enum Failure {
    /// Worth another connection, perhaps.
    Broken(Status),
    Final(Error),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Broken(status)
    }
}
