//! Uploads and downloads.

use futures::TryStreamExt;

use super::{connected, given, noise, text, upload};
use crate::fake::Options;
use crate::{BlobDigest, Uploaded};

#[tokio::test]
async fn small_blobs_go_in_batches_and_large_ones_as_streams() {
    for zstd in [false, true] {
        let (fake, client) = connected(Options {
            zstd,
            batch_bytes: 100_000,
            ..Options::default()
        })
        .await;
        let mut contents: Vec<Vec<u8>> = (0..40).map(|seed| noise(seed, 10_000)).collect();
        contents.push(text(3_000_000));
        contents.push(noise(99, 150_000));
        contents.push(Vec::new());
        let digests: Vec<BlobDigest> = contents.iter().map(BlobDigest::of).collect();
        let (uploaded, told) = upload(&client, contents.iter().cloned().map(given).collect()).await;
        assert_eq!(
            uploaded,
            Uploaded {
                found: 0,
                sent: 43,
                bytes: 3_550_000
            }
        );
        assert_eq!(told.last(), Some(&uploaded));
        assert_eq!(fake.state().count("Write"), 2);
        assert_eq!(fake.state().count("BatchUpdateBlobs"), 5);
        // And back, in the order that was asked for.
        let read = client.read_all(&digests, 4_000_000).await.unwrap();
        assert!(read == contents);
        assert!(fake.state().count("BatchReadBlobs") >= 4);
        for (digest, content) in digests.iter().zip(&contents) {
            let pieces: Vec<_> = client.stream(digest).try_collect().await.unwrap();
            assert!(pieces.concat() == *content);
        }
        // All there: nothing is sent.
        let (again, _) = upload(&client, contents.iter().cloned().map(given).collect()).await;
        assert_eq!(
            again,
            Uploaded {
                found: 43,
                sent: 0,
                bytes: 0
            }
        );
    }
}
