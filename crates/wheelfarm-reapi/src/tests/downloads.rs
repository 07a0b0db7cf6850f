//! Downloads that something happens to.

use futures::StreamExt;
use tonic::Status;

use super::{connected, noise, text};
use crate::fake::Options;
use crate::{BlobDigest, Client, Error, ErrorKind};

/// Why a blob could not be read.
async fn unread(client: &Client, digest: &BlobDigest, limit: u64) -> ErrorKind {
    let read = client.read(digest, limit).await;
    // Content is not for messages.
    read.map(|content| content.len()).unwrap_err().kind
}

/// All pieces, and the error that may be the last item.
async fn pieces(client: &Client, digest: &BlobDigest) -> (Vec<u8>, Option<Error>) {
    let (mut content, mut error) = (Vec::new(), None);
    let mut stream = client.stream(digest);
    while let Some(item) = stream.next().await {
        assert!(error.is_none(), "something comes after an error");
        match item {
            Ok(piece) => content.extend_from_slice(&piece),
            Err(reason) => error = Some(reason),
        }
    }
    (content, error)
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_was() {
    for zstd in [false, true] {
        let (fake, client) = connected(Options {
            zstd,
            ..Options::default()
        })
        .await;
        let content = if zstd {
            text(9_000_000)
        } else {
            noise(1, 3_000_000)
        };
        let digest = fake.state().put(content.clone());
        let after = if zstd { 100_000 } else { 1_000_000 };
        fake.state().break_read(after);
        fake.state().break_read(0);
        fake.state().break_read(after);
        fake.state()
            .fail_next("Read", Status::unavailable("not yet"));
        let (came, error) = pieces(&client, &digest).await;
        assert_eq!(error, None);
        assert!(came == content);
        let offsets: Vec<u64> = fake
            .state()
            .calls()
            .iter()
            .filter(|call| call.method == "Read")
            .map(|call| call.name.rsplit_once('@').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(offsets.len(), 5);
        assert!(offsets[4] > offsets[2] && offsets[2] > 0, "{offsets:?}");
    }
}

#[tokio::test]
async fn a_download_survives_a_restart_of_the_server() {
    let (mut fake, client) = connected(Options::default()).await;
    let content = noise(1, 60_000_000);
    let digest = fake.state().put(content.clone());
    let mut stream = client.stream(&digest);
    let mut came = stream.next().await.unwrap().unwrap().to_vec();
    fake.stop();
    fake.resume();
    while let Some(piece) = stream.next().await {
        came.extend_from_slice(&piece.unwrap());
    }
    assert!(came == content);
    assert!(fake.state().count("Read") > 1);
}

#[tokio::test]
async fn corrupted_content_is_never_handed_out_whole() {
    for zstd in [false, true] {
        let (fake, client) = connected(Options {
            zstd,
            ..Options::default()
        })
        .await;
        for size in [1000, 3_000_000] {
            let digest = fake.state().put(noise(1, size));
            fake.state().corrupt(&digest);
            assert_eq!(
                unread(&client, &digest, 4_000_000).await,
                ErrorKind::Corrupt
            );
            let (came, error) = pieces(&client, &digest).await;
            assert_eq!(error.unwrap().kind, ErrorKind::Corrupt);
            assert!(came.len() < size);
            // More or less of it than there should be.
            for other in [size - 1, size + 1, 10 * size] {
                let digest = BlobDigest::of(noise(2, size));
                fake.state().put_as(digest, noise(3, other));
                assert_eq!(
                    unread(&client, &digest, 4_000_000).await,
                    ErrorKind::Corrupt,
                    "{other}"
                );
                let (came, error) = pieces(&client, &digest).await;
                assert_eq!(error.unwrap().kind, ErrorKind::Corrupt, "{other}");
                assert!(came.len() < size);
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let (fake, client) = connected(Options::default()).await;
    for size in [1000, 3_000_000] {
        let digest = BlobDigest::of(noise(1, size));
        let missing = ErrorKind::MissingBlobs(vec![digest]);
        assert_eq!(unread(&client, &digest, 4_000_000).await, missing);
        assert_eq!(pieces(&client, &digest).await.1.unwrap().kind, missing);
    }
    // It was there, and expired on the way.
    let digest = fake.state().put(noise(1, 3_000_000));
    fake.state().break_read(1_000_000);
    let mut stream = client.stream(&digest);
    stream.next().await.unwrap().unwrap();
    fake.state().expire(&digest);
    let mut last = None;
    while let Some(item) = stream.next().await {
        last = Some(item);
    }
    assert_eq!(
        last.unwrap().unwrap_err().kind,
        ErrorKind::MissingBlobs(vec![digest])
    );
}

#[tokio::test]
async fn nothing_is_fetched_that_is_larger_than_allowed() {
    let (fake, client) = connected(Options::default()).await;
    let digest = fake.state().put(noise(1, 1000));
    assert_eq!(unread(&client, &digest, 999).await, ErrorKind::TooLarge);
    assert_eq!(
        client
            .read_all(&[digest, digest], 1999)
            .await
            .unwrap_err()
            .kind,
        ErrorKind::TooLarge
    );
    assert_eq!(fake.state().count("BatchReadBlobs"), 0);
    assert_eq!(client.read(&digest, 1000).await.unwrap().len(), 1000);
    // An answer that is too large to be one is not taken in.
    fake.state().put_as(digest, noise(1, 20_000_000));
    assert_eq!(unread(&client, &digest, 1000).await, ErrorKind::TooLarge);
}
