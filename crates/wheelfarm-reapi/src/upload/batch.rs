//! Small blobs, many in a message (`BatchUpdateBlobs`).

use std::collections::HashMap;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use proto::batch_update_blobs_request::Request as Item;
use proto::compressor::Value as Compressor;
use tonic::{Code, Status};

use crate::calls::At;
use crate::client::{Client, SHA256};
use crate::compress;
use crate::content::{Content, Pieces};
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, bounded, error, refused};

/// Smaller blobs, in bytes, gain nothing from compression.
const WORTH_COMPRESSING: usize = 512;

impl Client {
    /// Sends blobs that fit into one message, again and again those that the server had no room or time for.
    pub(crate) async fn send_batch(&self, blobs: Vec<(BlobDigest, Content)>) -> Result<(), Error> {
        let mut items = HashMap::with_capacity(blobs.len());
        for (digest, content) in blobs {
            let size = usize::try_from(digest.size).unwrap_or(usize::MAX);
            let data = Pieces::open(&content, &digest, 0).await?.next(size).await?;
            items.insert(digest, self.item(&digest, data));
        }
        let mut patience = self.patience();
        loop {
            let message = proto::BatchUpdateBlobsRequest {
                instance_name: self.shared.instance.clone(),
                requests: items.values().cloned().collect(),
                digest_function: SHA256,
            };
            let answer = self
                .ask(At::Storage, "take small blobs", || {
                    let mut storage = self.storage();
                    let request = self.request(message.clone(), None);
                    async move { storage.batch_update_blobs(request).await }
                })
                .await?;
            let before = items.len();
            let refusal = self.strike_out(&mut items, answer)?;
            if items.is_empty() {
                return Ok(());
            }
            if items.len() < before {
                patience.progress();
            }
            let status =
                refusal.unwrap_or_else(|| Status::internal("it said nothing of some of them"));
            if !patience.wait(&status).await {
                return Err(refused(
                    self.address(At::Storage),
                    "take small blobs",
                    &status,
                ));
            }
        }
    }

    fn item(&self, digest: &BlobDigest, data: Vec<u8>) -> Item {
        let compressed = if self.capabilities().zstd_batches && data.len() >= WORTH_COMPRESSING {
            compress::smaller(&data)
        } else {
            None
        };
        let compressor = if compressed.is_some() {
            Compressor::Zstd
        } else {
            Compressor::Identity
        };
        Item {
            digest: Some((*digest).into()),
            data: compressed.unwrap_or(data),
            compressor: compressor as i32,
        }
    }

    /// Removes what the server took. Returns a reason why others are left that may go away, fails for one that does
    /// not.
    fn strike_out(
        &self,
        items: &mut HashMap<BlobDigest, Item>,
        answer: proto::BatchUpdateBlobsResponse,
    ) -> Result<Option<Status>, Error> {
        let address = self.address(At::Storage);
        let mut refusal = None;
        for response in answer.responses {
            let digest = response.digest.unwrap_or_default();
            let digest = BlobDigest::try_from(&digest).map_err(|bad| {
                error(
                    ErrorKind::Protocol,
                    format!("{address} took small blobs and said: {bad}"),
                )
            })?;
            let status = response.status.unwrap_or_default();
            match Code::from(status.code) {
                Code::Ok | Code::AlreadyExists => {
                    items.remove(&digest);
                }
                Code::InvalidArgument => {
                    return Err(error(
                        ErrorKind::Source,
                        format!(
                            "{address} did not take {digest}, whose content may be another: {}",
                            bounded(&status.message)
                        ),
                    ));
                }
                code => refusal = Some(Status::new(code, status.message)),
            }
        }
        Ok(refusal)
    }
}
