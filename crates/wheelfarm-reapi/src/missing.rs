//! Asking which blobs a server has not.

use std::collections::HashSet;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use proto::content_addressable_storage_client::ContentAddressableStorageClient;
use tonic::transport::Channel;

use crate::calls::At;
use crate::client::{Client, SHA256};
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error};

/// Digests in one question. Each is about 75 bytes long, and messages have 4 MiB at most.
const CHUNK: usize = 8000;

impl Client {
    /// Those of `blobs` that the server has not, each once, in the order given (`FindMissingBlobs`).
    pub async fn find_missing(&self, blobs: &[BlobDigest]) -> Result<Vec<BlobDigest>, Error> {
        let mut seen = HashSet::with_capacity(blobs.len());
        let asked: Vec<BlobDigest> = blobs
            .iter()
            .copied()
            .filter(|blob| seen.insert(*blob))
            .collect();
        let mut missing = Vec::new();
        for chunk in asked.chunks(CHUNK) {
            let said = self
                .ask(At::Storage, "find missing blobs", || async {
                    let message = proto::FindMissingBlobsRequest {
                        instance_name: self.shared.instance.clone(),
                        blob_digests: chunk.iter().map(|blob| (*blob).into()).collect(),
                        digest_function: SHA256,
                    };
                    self.storage()
                        .find_missing_blobs(self.request(message, None))
                        .await
                })
                .await?;
            let mut absent = HashSet::with_capacity(said.missing_blob_digests.len());
            for digest in &said.missing_blob_digests {
                absent.insert(BlobDigest::try_from(digest).map_err(|bad| {
                    error(
                        ErrorKind::Protocol,
                        format!(
                            "{} was asked for missing blobs and said: {bad}",
                            self.address(At::Storage)
                        ),
                    )
                })?);
            }
            missing.extend(chunk.iter().copied().filter(|blob| absent.contains(blob)));
        }
        Ok(missing)
    }

    /// Calls of content-addressable storage.
    pub(crate) fn storage(&self) -> ContentAddressableStorageClient<Channel> {
        ContentAddressableStorageClient::new(self.channel(At::Storage))
            .max_decoding_message_size(Self::message_limit())
    }
}
