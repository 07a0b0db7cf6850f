//! Content-addressable storage and byte streams.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream as streams;
use bazel_remote_apis::google::rpc;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use proto::compressor::Value as Compressor;
use proto::content_addressable_storage_server::ContentAddressableStorage;
use streams::byte_stream_server::ByteStream;
use tonic::{Code, Request, Response, Status, Streaming, async_trait};

use super::Service;
use super::execution::digest;
use crate::digest::BlobDigest;

/// Content of one message, in bytes.
const PIECE: usize = 100_000;

#[async_trait]
impl ContentAddressableStorage for Service {
    type GetTreeStream = BoxStream<'static, Result<proto::GetTreeResponse, Status>>;
    type GetChunkMappingStream = BoxStream<'static, Result<proto::GetChunkMappingResponse, Status>>;

    async fn find_missing_blobs(
        &self,
        request: Request<proto::FindMissingBlobsRequest>,
    ) -> Result<Response<proto::FindMissingBlobsResponse>, Status> {
        self.0.enter(
            "FindMissingBlobs",
            &request.get_ref().instance_name,
            &request,
        )?;
        let mut missing = Vec::new();
        for asked in &request.get_ref().blob_digests {
            if self.0.blob(&digest(Some(asked))?).is_none() {
                missing.push(asked.clone());
            }
        }
        Ok(Response::new(proto::FindMissingBlobsResponse {
            missing_blob_digests: missing,
        }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<proto::BatchUpdateBlobsRequest>,
    ) -> Result<Response<proto::BatchUpdateBlobsResponse>, Status> {
        let name = format!("{} blobs", request.get_ref().requests.len());
        self.0.enter("BatchUpdateBlobs", &name, &request)?;
        let mut responses = Vec::new();
        for item in request.into_inner().requests {
            let digest = digest(item.digest.as_ref())?;
            let status = match self.0.enter("BatchUpdateBlobs.item", "", &Request::new(())) {
                Ok(()) => self.keep(
                    &digest,
                    item.data,
                    item.compressor == Compressor::Zstd as i32,
                ),
                Err(status) => Err(status),
            };
            responses.push(proto::batch_update_blobs_response::Response {
                digest: item.digest,
                status: status.err().map(|status| rpc_status(&status)),
            });
        }
        Ok(Response::new(proto::BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<proto::BatchReadBlobsRequest>,
    ) -> Result<Response<proto::BatchReadBlobsResponse>, Status> {
        let name = format!("{} blobs", request.get_ref().digests.len());
        self.0.enter("BatchReadBlobs", &name, &request)?;
        let message = request.into_inner();
        let zstd = message
            .acceptable_compressors
            .contains(&(Compressor::Zstd as i32));
        let mut responses = Vec::new();
        for asked in message.digests {
            let content = self.0.sent(&digest(Some(&asked))?);
            responses.push(match content {
                Some(content) => proto::batch_read_blobs_response::Response {
                    digest: Some(asked),
                    data: if zstd {
                        compress(&content)?
                    } else {
                        content.to_vec()
                    },
                    compressor: if zstd {
                        Compressor::Zstd
                    } else {
                        Compressor::Identity
                    } as i32,
                    status: None,
                },
                None => proto::batch_read_blobs_response::Response {
                    digest: Some(asked),
                    status: Some(rpc_status(&Status::not_found("no such blob"))),
                    ..proto::batch_read_blobs_response::Response::default()
                },
            });
        }
        // As servers do that have no order of their own.
        responses.reverse();
        Ok(Response::new(proto::BatchReadBlobsResponse { responses }))
    }

    async fn get_tree(
        &self,
        _: Request<proto::GetTreeRequest>,
    ) -> Result<Response<Self::GetTreeStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn split_blob(
        &self,
        _: Request<proto::SplitBlobRequest>,
    ) -> Result<Response<proto::SplitBlobResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_chunk_mapping(
        &self,
        _: Request<proto::GetChunkMappingRequest>,
    ) -> Result<Response<Self::GetChunkMappingStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn splice_blob(
        &self,
        _: Request<proto::SpliceBlobRequest>,
    ) -> Result<Response<proto::SpliceBlobResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn register_chunk_mapping(
        &self,
        _: Request<Streaming<proto::RegisterChunkMappingRequest>>,
    ) -> Result<Response<proto::RegisterChunkMappingResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[async_trait]
impl ByteStream for Service {
    type ReadStream = BoxStream<'static, Result<streams::ReadResponse, Status>>;

    async fn read(
        &self,
        request: Request<streams::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let message = request.get_ref();
        self.0.enter(
            "Read",
            &format!("{}@{}", message.resource_name, message.read_offset),
            &request,
        )?;
        let (digest, compressed) = resource(&message.resource_name)?;
        let content = self
            .0
            .sent(&digest)
            .ok_or_else(|| Status::not_found("no such blob"))?;
        let offset = usize::try_from(message.read_offset).unwrap_or(usize::MAX);
        if offset > content.len() {
            return Err(Status::out_of_range("there is less than that"));
        }
        let content = content.slice(offset..);
        let content = if compressed {
            compress(&content)?.into()
        } else {
            content
        };
        let order = self.0.lock().break_reads.pop_front();
        let shown = content.slice(..order.unwrap_or(usize::MAX).min(content.len()));
        let pieces: Vec<_> = shown
            .chunks(PIECE)
            .map(|piece| {
                Ok(streams::ReadResponse {
                    data: piece.to_vec(),
                })
            })
            .chain(order.map(|_| Err(Status::unavailable("broken by a test"))))
            .collect();
        Ok(Response::new(stream::iter(pieces).boxed()))
    }

    async fn write(
        &self,
        request: Request<Streaming<streams::WriteRequest>>,
    ) -> Result<Response<streams::WriteResponse>, Status> {
        self.0.enter("Write", "", &request)?;
        let order = self.0.lock().break_writes.pop_front();
        let mut stream = request.into_inner();
        let (mut name, mut came) = (String::new(), 0);
        while let Some(message) = stream.message().await? {
            if name.is_empty() {
                if message.write_offset > 0 && !self.0.options.resumes {
                    return Err(Status::invalid_argument("the size is not right"));
                }
                name.clone_from(&message.resource_name);
            }
            let (digest, compressed) = resource(&name)?;
            if self.0.blob(&digest).is_some() {
                let all = i64::try_from(digest.size).unwrap_or(i64::MAX);
                let committed_size = if compressed { -1 } else { all };
                return Ok(Response::new(streams::WriteResponse { committed_size }));
            }
            came += message.data.len();
            let content = {
                let mut inner = self.0.lock();
                let partial = inner.partial.entry(name.clone()).or_default();
                if usize::try_from(message.write_offset) != Ok(partial.len()) {
                    return Err(Status::invalid_argument("that is not where it goes on"));
                }
                partial.extend_from_slice(&message.data);
                if order.is_some_and(|order| came >= order) {
                    return Err(Status::unavailable("broken by a test"));
                }
                if !message.finish_write {
                    continue;
                }
                inner.partial.remove(&name).unwrap_or_default()
            };
            let committed_size = i64::try_from(content.len()).unwrap_or(i64::MAX);
            self.keep(&digest, content, compressed)?;
            return Ok(Response::new(streams::WriteResponse { committed_size }));
        }
        Err(Status::invalid_argument("it was not finished"))
    }

    async fn query_write_status(
        &self,
        request: Request<streams::QueryWriteStatusRequest>,
    ) -> Result<Response<streams::QueryWriteStatusResponse>, Status> {
        let name = request.get_ref().resource_name.clone();
        self.0.enter("QueryWriteStatus", &name, &request)?;
        let (digest, _) = resource(&name)?;
        let complete = self.0.blob(&digest).is_some();
        let partial = self.0.lock().partial.get(&name).map(Vec::len);
        match (complete, partial) {
            (false, None) => Err(Status::not_found("no such upload")),
            (complete, partial) => Ok(Response::new(streams::QueryWriteStatusResponse {
                committed_size: i64::try_from(partial.unwrap_or_default()).unwrap_or(i64::MAX),
                complete,
            })),
        }
    }
}

impl Service {
    /// Keeps content that is what its digest says.
    fn keep(&self, digest: &BlobDigest, data: Vec<u8>, compressed: bool) -> Result<(), Status> {
        let content = if compressed {
            zstd::stream::decode_all(data.as_slice())
                .map_err(|bad| Status::invalid_argument(bad.to_string()))?
        } else {
            data
        };
        if BlobDigest::of(&content) != *digest {
            return Err(Status::invalid_argument("that is other content"));
        }
        self.0.lock().blobs.insert(*digest, Bytes::from(content));
        Ok(())
    }
}

/// The digest at the end of a resource name, and whether content goes compressed.
fn resource(name: &str) -> Result<(BlobDigest, bool), Status> {
    let invalid = || Status::invalid_argument(format!("`{name}` names nothing"));
    let (rest, size) = name.rsplit_once('/').ok_or_else(invalid)?;
    let (rest, hash) = rest.rsplit_once('/').ok_or_else(invalid)?;
    let digest = format!("{hash}/{size}").parse().map_err(|_| invalid())?;
    match rest {
        _ if rest.ends_with("compressed-blobs/zstd") => Ok((digest, true)),
        _ if rest.ends_with("blobs") => Ok((digest, false)),
        _ => Err(invalid()),
    }
}

fn compress(content: &[u8]) -> Result<Vec<u8>, Status> {
    zstd::stream::encode_all(content, 1)
        .map_err(|error| Status::new(Code::Internal, error.to_string()))
}

fn rpc_status(status: &Status) -> rpc::Status {
    rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    }
}
