//! Small blobs, many in a message (`BatchReadBlobs`).

use std::collections::HashSet;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bytes::Bytes;
use proto::compressor::Value as Compressor;
use tonic::{Code, Status};

use super::{corrupt, missing, verified};
use crate::calls::At;
use crate::client::{Client, SHA256};
use crate::compress;
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, bounded, error, refused};

impl Client {
    /// Contents of blobs that fit into one message together, in any order.
    pub(super) async fn read_batch(
        &self,
        digests: &[BlobDigest],
    ) -> Result<Vec<(BlobDigest, Bytes)>, Error> {
        let mut wanted: HashSet<BlobDigest> = digests.iter().copied().collect();
        let mut contents = Vec::with_capacity(wanted.len());
        let mut patience = self.patience();
        loop {
            let message = proto::BatchReadBlobsRequest {
                instance_name: self.shared.instance.clone(),
                digests: wanted.iter().map(|digest| (*digest).into()).collect(),
                acceptable_compressors: if self.capabilities().zstd {
                    vec![Compressor::Identity as i32, Compressor::Zstd as i32]
                } else {
                    Vec::new()
                },
                digest_function: SHA256,
            };
            let answer = self
                .ask(At::Storage, "send small blobs", || {
                    let mut storage = self.storage();
                    let request = self.request(message.clone(), None);
                    async move { storage.batch_read_blobs(request).await }
                })
                .await?;
            let before = wanted.len();
            let refusal = self.take(&mut wanted, &mut contents, answer)?;
            if wanted.is_empty() {
                return Ok(contents);
            }
            if wanted.len() < before {
                patience.progress();
            }
            let status =
                refusal.unwrap_or_else(|| Status::unavailable("it said nothing of some of them"));
            if !patience.wait(&status).await {
                return Err(refused(
                    self.address(At::Storage),
                    "send small blobs",
                    &status,
                ));
            }
        }
    }

    /// Takes what came. Returns a reason why others did not that may go away, fails for one that does not.
    fn take(
        &self,
        wanted: &mut HashSet<BlobDigest>,
        contents: &mut Vec<(BlobDigest, Bytes)>,
        answer: proto::BatchReadBlobsResponse,
    ) -> Result<Option<Status>, Error> {
        let address = self.address(At::Storage);
        let mut refusal = None;
        for response in answer.responses {
            let digest = response.digest.unwrap_or_default();
            let digest = BlobDigest::try_from(&digest).map_err(|bad| {
                error(
                    ErrorKind::Protocol,
                    format!("{address} sent small blobs and said: {bad}"),
                )
            })?;
            // What was not asked for could be any amount.
            if !wanted.contains(&digest) {
                continue;
            }
            let status = response.status.unwrap_or_default();
            match Code::from(status.code) {
                Code::Ok => {
                    let data = match Compressor::try_from(response.compressor) {
                        Ok(Compressor::Identity) => response.data,
                        Ok(Compressor::Zstd) => {
                            let size = usize::try_from(digest.size).unwrap_or(usize::MAX);
                            compress::restored(&response.data, size)
                                .ok_or_else(|| corrupt(&digest))?
                        }
                        _ => {
                            return Err(error(
                                ErrorKind::Protocol,
                                format!(
                                    "{address} sent {digest} compressed in a way that it was not asked for"
                                ),
                            ));
                        }
                    };
                    contents.push((digest, verified(&digest, data.into())?));
                    wanted.remove(&digest);
                }
                Code::NotFound => return Err(missing(&digest, address)),
                Code::DataLoss => return Err(corrupt(&digest)),
                code => refusal = Some(Status::new(code, bounded(&status.message))),
            }
        }
        Ok(refusal)
    }
}
