//! Uploads and downloads that something happens to.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tonic::Status;

use super::{connected, given, noise, text, upload};
use crate::fake::{Options, State};
use crate::{BlobDigest, Client, Content, Error, ErrorKind, Source, Uploaded};

/// Content in memory that counts how it is read.
#[derive(Default)]
struct Shelf {
    contents: HashMap<BlobDigest, Bytes>,
    open: Arc<AtomicUsize>,
    most: AtomicUsize,
    offsets: Mutex<Vec<u64>>,
    /// Another client brings the blob there when this one begins.
    overtaken: Option<Arc<State>>,
}

/// One stream, counted while it exists.
struct Opened(Arc<AtomicUsize>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Source for Shelf {
    fn open(
        &self,
        digest: &BlobDigest,
        offset: u64,
    ) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>> {
        let digest = *digest;
        async move {
            let content = self
                .contents
                .get(&digest)
                .ok_or_else(|| io::Error::other("the disk is broken"))?
                .clone();
            if let Some(state) = &self.overtaken {
                state.put(content.clone());
            }
            let now = self.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.offsets.lock().unwrap().push(offset);
            let opened = Opened(Arc::clone(&self.open));
            let rest = content.slice(usize::try_from(offset).unwrap()..);
            let stream = futures::stream::unfold((rest, opened), |(mut rest, opened)| async {
                // As if from a disk: others get their turn.
                tokio::task::yield_now().await;
                let piece = rest.split_to(rest.len().min(50_000));
                (!piece.is_empty()).then_some((Ok(piece), (rest, opened)))
            });
            Ok(stream.boxed())
        }
        .boxed()
    }
}

/// All contents on a shelf, and blobs that come from there.
fn shelve(
    contents: Vec<Vec<u8>>,
    overtaken: Option<Arc<State>>,
) -> (Arc<Shelf>, Vec<(BlobDigest, Content)>) {
    let contents: Vec<_> = contents
        .into_iter()
        .map(|content| (BlobDigest::of(&content), content))
        .collect();
    let digests: Vec<_> = contents.iter().map(|(digest, _)| *digest).collect();
    let shelf = Arc::new(Shelf {
        contents: contents
            .into_iter()
            .map(|(digest, content)| (digest, content.into()))
            .collect(),
        overtaken,
        ..Shelf::default()
    });
    let source: Arc<dyn Source> = shelf.clone();
    let blobs = digests
        .into_iter()
        .map(|digest| (digest, Content::From(Arc::clone(&source))))
        .collect();
    (shelf, blobs)
}

async fn refused(client: &Client, blobs: Vec<(BlobDigest, Content)>) -> Error {
    client.upload(blobs, &|_| {}).await.unwrap_err()
}

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
async fn a_broken_upload_goes_on_where_it_was() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().break_write(1_000_000);
    fake.state().break_write(500_000);
    let (shelf, blobs) = shelve(vec![noise(1, 3_000_000)], None);
    let digest = blobs[0].0;
    let (uploaded, _) = upload(&client, blobs).await;
    assert_eq!((uploaded.sent, uploaded.bytes), (1, 3_000_000));
    assert!(fake.state().blob(&digest).is_some());
    assert_eq!(fake.state().count("QueryWriteStatus"), 2);
    let offsets = shelf.offsets.lock().unwrap().clone();
    assert!(
        matches!(offsets[..], [0, first, second] if 1_000_000 <= first && first < second),
        "{offsets:?}"
    );
}

#[tokio::test]
async fn an_upload_that_the_server_forgot_begins_again() {
    let (mut fake, client) = connected(Options::default()).await;
    fake.state().break_write(1_000_000);
    fake.state()
        .fail_next("QueryWriteStatus", Status::unimplemented("what is that"));
    let (uploaded, _) = upload(&client, vec![given(noise(1, 3_000_000))]).await;
    assert_eq!(uploaded.sent, 1);
    assert_eq!(fake.state().count("Write"), 2);
    // And so does one whose server restarts.
    let task =
        tokio::spawn(async move { upload(&client, vec![given(noise(2, 40_000_000))]).await });
    let state = Arc::clone(fake.state());
    super::until("it is under way", || state.count("Write") == 3).await;
    fake.stop();
    fake.resume();
    assert_eq!(task.await.unwrap().0.sent, 1);
}

#[tokio::test]
async fn a_broken_compressed_upload_arrives() {
    let (fake, client) = connected(Options {
        zstd: true,
        ..Options::default()
    })
    .await;
    fake.state().break_write(100_000);
    fake.state().break_write(1_000_000);
    let content = text(4_000_000);
    let (uploaded, _) = upload(&client, vec![given(content.clone())]).await;
    // What is counted is content, not what was sent of it.
    assert_eq!((uploaded.sent, uploaded.bytes), (1, 4_000_000));
    assert_eq!(
        fake.state().blob(&BlobDigest::of(&content)).unwrap(),
        content
    );
}

#[tokio::test]
async fn an_upload_that_another_client_completed_ends_early() {
    for zstd in [false, true] {
        let (fake, client) = connected(Options {
            zstd,
            ..Options::default()
        })
        .await;
        let content = if zstd {
            text(30_000_000)
        } else {
            noise(1, 30_000_000)
        };
        let (_, blobs) = shelve(vec![content], Some(Arc::clone(fake.state())));
        let (uploaded, _) = upload(&client, blobs).await;
        assert_eq!(uploaded.sent, 1);
        assert_eq!(fake.state().count("Write"), 1);
    }
}

#[tokio::test]
async fn only_what_a_batch_left_is_sent_again() {
    let (fake, client) = connected(Options::default()).await;
    fake.state()
        .fail_next("BatchUpdateBlobs", Status::unavailable("busy"));
    fake.state().fail_next(
        "BatchUpdateBlobs.item",
        Status::resource_exhausted("no room now"),
    );
    let blobs = (0..10).map(|seed| given(noise(seed, 1000))).collect();
    let (uploaded, _) = upload(&client, blobs).await;
    assert_eq!(
        uploaded,
        Uploaded {
            found: 0,
            sent: 10,
            bytes: 10_000
        }
    );
    let batches: Vec<_> = fake
        .state()
        .calls()
        .into_iter()
        .filter(|call| call.method == "BatchUpdateBlobs")
        .collect();
    let sizes: Vec<_> = batches.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(sizes, ["10 blobs", "10 blobs", "1 blobs"]);
}

#[tokio::test]
async fn a_blob_that_is_given_twice_is_sent_once() {
    let (fake, client) = connected(Options::default()).await;
    let (large, small) = (noise(1, 2_000_000), noise(2, 100));
    let mut blobs: Vec<_> = [&large, &small, &large, &small]
        .map(|content| given(content.clone()))
        .into();
    blobs.push(given(
        fake.state()
            .blob(&fake.state().put("there"))
            .unwrap()
            .to_vec(),
    ));
    let (uploaded, _) = upload(&client, blobs).await;
    assert_eq!(
        uploaded,
        Uploaded {
            found: 1,
            sent: 2,
            bytes: 2_000_100
        }
    );
    assert_eq!(
        (
            fake.state().count("Write"),
            fake.state().count("BatchUpdateBlobs")
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn two_thousand_blobs_are_not_open_at_once() {
    let (fake, client) = connected(Options {
        batch_bytes: 200_000,
        ..Options::default()
    })
    .await;
    let mut contents: Vec<_> = (0..1970).map(|seed| noise(seed, 1000)).collect();
    contents.extend((0..30).map(|seed| noise(seed, 1_100_000)));
    let (shelf, mut blobs) = shelve(contents, None);
    // In calls at the same time, too.
    let rest = blobs.split_off(1000);
    let (one, other) = tokio::join!(upload(&client, blobs), upload(&client, rest));
    assert_eq!(one.0.sent + other.0.sent, 2000);
    assert_eq!(fake.state().blobs(), 2000);
    let most = shelf.most.load(Ordering::SeqCst);
    assert!((2..=client.shared.upload_limit).contains(&most), "{most}");
    assert_eq!(shelf.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn content_that_is_not_what_it_should_be_is_not_uploaded() {
    let (fake, client) = connected(Options {
        max_blob_bytes: 4_000_000,
        ..Options::default()
    })
    .await;
    for size in [1000, 2_000_000] {
        let digest = BlobDigest::of(noise(1, size));
        let contents = [noise(2, size), noise(1, size - 1), noise(1, size + 1)];
        for content in contents {
            let error = refused(&client, vec![(digest, Content::Given(content.into()))]).await;
            assert_eq!(error.kind, ErrorKind::Source, "{error}");
            assert!(error.message.contains(&digest.to_string()), "{error}");
        }
        let nowhere: Arc<dyn Source> = Arc::new(Shelf::default());
        let error = refused(&client, vec![(digest, Content::From(nowhere))]).await;
        assert_eq!(error.kind, ErrorKind::Source);
        assert!(error.message.contains("the disk is broken"), "{error}");
    }
    let error = refused(&client, vec![given(noise(1, 4_000_001))]).await;
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert_eq!(fake.state().blobs(), 0);
}

#[tokio::test]
async fn uploads_are_given_up_when_patience_ends() {
    let (fake, _) = connected(Options::default()).await;
    let mut settings = fake.settings();
    settings.patience = Duration::from_millis(200);
    let client = Client::connect(settings).await.unwrap();
    for (method, size) in [
        ("Write", 2_000_000),
        ("BatchUpdateBlobs", 10),
        ("FindMissingBlobs", 11),
    ] {
        for _ in 0..30 {
            fake.state().fail_next(method, Status::unavailable("gone"));
        }
        let error = refused(&client, vec![given(noise(1, size))]).await;
        assert_eq!(error.kind, ErrorKind::Unreachable, "{method}");
    }
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

#[tokio::test]
async fn missing_blobs_are_found_in_more_than_one_question() {
    let (fake, client) = connected(Options::default()).await;
    let mut digests: Vec<_> = (0..20_001u32)
        .map(|number| BlobDigest::of(number.to_le_bytes()))
        .collect();
    for number in [0u32, 9_000, 20_000] {
        fake.state().put(number.to_le_bytes().to_vec());
    }
    digests.extend_from_within(..5000);
    let missing = client.find_missing(&digests).await.unwrap();
    assert_eq!(missing.len(), 19_998);
    assert_eq!(missing.first(), digests.get(1));
    assert_eq!(fake.state().count("FindMissingBlobs"), 3);
}
