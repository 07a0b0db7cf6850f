//! A client that does no more than it must: what the protocol itself costs.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream::WriteRequest;
use bazel_remote_apis::google::bytestream::byte_stream_client::ByteStreamClient;
use bytes::Bytes;
use proto::batch_update_blobs_request::Request as Item;
use proto::content_addressable_storage_client::ContentAddressableStorageClient;
use tonic::transport::{Channel, Endpoint};
use wheelfarm_reapi::BlobDigest;
use wheelfarm_tests::anyhow::{Result, ensure};

/// Content of one message of a stream, in bytes: as much as ours.
const PIECE: usize = 256 << 10;
/// Blobs of 4 KiB in one message: as many as ours.
const BATCH: usize = 250;

/// Uploads over the generated stubs, without a question, a check or a second attempt.
pub(super) struct Bare {
    channel: Channel,
}

impl Bare {
    pub(super) async fn connect(address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(address.to_owned())?.tcp_nodelay(true);
        Ok(Self {
            channel: endpoint.connect().await?,
        })
    }

    /// One blob as a stream (`ByteStream.Write`).
    pub(super) async fn write(&self, digest: &BlobDigest, content: &Bytes) -> Result<()> {
        let name = format!("uploads/00000000-0000-4000-8000-000000000000/blobs/{digest}");
        let content = content.clone();
        let count = content.len().div_ceil(PIECE);
        let messages = (0..count).map(move |number| {
            let start = number * PIECE;
            let end = content.len().min(start + PIECE);
            WriteRequest {
                resource_name: name.clone(),
                write_offset: i64::try_from(start).unwrap_or(i64::MAX),
                finish_write: end == content.len(),
                data: content.slice(start..end).to_vec(),
            }
        });
        let mut calls = ByteStreamClient::new(self.channel.clone());
        let answer = calls.write(futures::stream::iter(messages)).await?;
        let committed = answer.into_inner().committed_size;
        ensure!(
            u64::try_from(committed) == Ok(digest.size),
            "{committed} bytes were taken"
        );
        Ok(())
    }

    /// Many small blobs, all messages at once (`BatchUpdateBlobs`).
    pub(super) async fn send(&self, blobs: &[(BlobDigest, Bytes)]) -> Result<()> {
        let calls = blobs.chunks(BATCH).map(async |batch| {
            let requests = batch.iter().map(|(digest, content)| Item {
                digest: Some((*digest).into()),
                data: content.to_vec(),
                ..Item::default()
            });
            let message = proto::BatchUpdateBlobsRequest {
                requests: requests.collect(),
                ..proto::BatchUpdateBlobsRequest::default()
            };
            let mut calls = ContentAddressableStorageClient::new(self.channel.clone());
            calls.batch_update_blobs(message).await
        });
        for answer in futures::future::try_join_all(calls).await? {
            let taken = answer.into_inner().responses;
            let refused = taken.iter().find(|response| {
                let status = response.status.as_ref();
                status.is_some_and(|status| status.code != 0)
            });
            ensure!(refused.is_none(), "{refused:?}");
        }
        Ok(())
    }
}
