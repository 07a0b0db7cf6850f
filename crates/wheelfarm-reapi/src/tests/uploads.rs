//! Uploads that something happens to.

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
async fn a_server_that_cannot_go_on_in_the_middle_gets_all_of_it_again() {
    let (fake, client) = connected(Options {
        resumes: false,
        ..Options::default()
    })
    .await;
    fake.state().break_write(1_000_000);
    let (uploaded, _) = upload(&client, vec![given(noise(1, 3_000_000))]).await;
    assert_eq!((uploaded.sent, fake.state().count("Write")), (1, 3));
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
