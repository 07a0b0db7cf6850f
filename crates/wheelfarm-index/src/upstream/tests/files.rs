use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde_json::json;
use wheelfarm_types::Digest;
use wheelfarm_wheel::WheelWriter;

use super::fake::{Fake, address, entry};
use super::{Server, aborted, bytes, memory, text};

const WHEEL: &str = "x-1.0-py3-none-any.whl";
const POOL: &str = "/pool/x-1.0-py3-none-any.whl";

#[tokio::test]
async fn a_file_is_fetched_once_and_addresses_last() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"0123456789");
    let store = memory().await;
    let server = Server::start(&store, &fake.index()).await;
    for _ in 0..2 {
        let answer = server.get(&file).await;
        assert_eq!(text(&answer, header::CONTENT_LENGTH), "10");
        assert_eq!(text(&answer, header::ACCEPT_RANGES), "bytes");
        assert!(text(&answer, header::CACHE_CONTROL).contains("immutable"));
        assert_eq!(bytes(answer).await, b"0123456789");
    }
    assert_eq!(fake.asked(POOL), 1);
    assert_eq!(text_of(&fake, header::ACCEPT_ENCODING), "identity");
    // The page is another one by now, and the index is gone: an address in a lock file is still good.
    fake.project("x", &[]);
    let index = fake.index();
    drop(fake);
    let again = Server::start(&store, &index).await;
    assert_eq!(bytes(again.get(&file).await).await, b"0123456789");
}

fn text_of(fake: &Fake, name: header::HeaderName) -> String {
    fake.last(POOL)[name].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_address_of_a_lock_file_is_good_on_a_server_that_has_never_heard_of_it() {
    let fake = Fake::start().await;
    fake.project("x-y", &[entry("x-y-1.0.tar.gz", b"sdist")]);
    fake.file("/pool/x-y-1.0.tar.gz", b"sdist");
    let server = Server::start(&memory().await, &fake.index()).await;
    let file = address("x-y-1.0.tar.gz", b"sdist");
    assert_eq!(bytes(server.get(&file).await).await, b"sdist");
    for wrong in [
        address("x-y-1.0.tar.gz", b"other"),
        address("x-y-2.0.tar.gz", b"sdist"),
        address("z-1.zip", b"sdist"),
        address("%2e%2e", b"sdist"),
        format!("{file}.metadata"),
        "/files/no-digest/x-y-1.0.tar.gz".to_owned(),
    ] {
        assert_eq!(server.get(&wrong).await.status(), 404, "{wrong}");
    }
}

#[tokio::test]
async fn ranges_of_what_is_not_there_yet() {
    for (range, expected) in [
        ("bytes=-4", "6789"),
        ("bytes=8-", "89"),
        ("bytes=2-3", "23"),
        ("bytes=0-0", "0"),
    ] {
        let fake = Fake::start().await;
        let file = fake.with(WHEEL, b"0123456789");
        let server = Server::start(&memory().await, &fake.index()).await;
        let head = server.ask("HEAD", &file, &[]).await;
        assert_eq!(text(&head, header::CONTENT_LENGTH), "10");
        assert_eq!(text(&head, header::ACCEPT_RANGES), "bytes");
        assert_eq!(fake.asked(POOL), 0);
        let answer = server.ask("GET", &file, &[("range", range)]).await;
        assert_eq!(answer.status(), 206);
        assert_eq!(bytes(answer).await, expected.as_bytes());
        let answer = server.ask("GET", &file, &[("range", "bytes=10-")]).await;
        assert_eq!(answer.status(), 416);
        let etag = format!("\"{}\"", Digest::of("0123456789"));
        let known = [("if-none-match", etag.as_str())];
        assert_eq!(server.ask("GET", &file, &known).await.status(), 304);
        assert_eq!(fake.asked(POOL), 1);
    }
}

#[tokio::test]
async fn a_size_that_nobody_says_is_found_out() {
    let fake = Fake::start().await;
    let mut unmeasured = entry(WHEEL, b"0123456789");
    unmeasured["size"] = json!(null);
    fake.project("x", &[unmeasured]);
    fake.reply(POOL, |_| {
        let pieces = ["01234", "56789"].map(Ok::<_, std::io::Error>);
        axum::body::Body::from_stream(futures::stream::iter(pieces)).into_response()
    });
    let file = address(WHEEL, b"0123456789");
    for (method, headers, expected) in [
        ("GET", &[][..], "0123456789"),
        ("GET", &[("range", "bytes=-3")], "789"),
        ("HEAD", &[], ""),
    ] {
        let server = Server::start(&memory().await, &fake.index()).await;
        let answer = server.ask(method, &file, headers).await;
        if method == "HEAD" {
            assert_eq!(text(&answer, header::CONTENT_LENGTH), "10");
        }
        assert_eq!(bytes(answer).await, expected.as_bytes());
    }
}

#[tokio::test]
async fn wrong_bytes_reach_nobody_whole_and_are_not_kept() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = wheelfarm_store::Store::open(dir.path().to_str().unwrap());
    let store = store.await.unwrap();
    let server = Server::start(&store, &fake.index()).await;
    let file = fake.with(WHEEL, b"0123456789");
    for wrong in [&b"9876543210"[..], b"012345678"] {
        fake.file(POOL, wrong);
        let answer = server.get(&file).await;
        if wrong.len() == 10 {
            aborted(answer).await;
        } else {
            // Another size than the page says: known before the first byte.
            assert_eq!(answer.status(), 502);
        }
        // A part does not tell that it is wrong, so there is none.
        let part = server.ask("GET", &file, &[("range", "bytes=0-3")]).await;
        assert_eq!(part.status(), 502);
    }
    let digest = Digest::of("0123456789");
    assert!(!store.contains(&digest).await.unwrap());
    assert!(!store.contains(&Digest::of("9876543210")).await.unwrap());
    let left = fs_err::read_dir(dir.path().join("incoming")).unwrap();
    assert_eq!(left.count(), 0);
    fake.file(POOL, b"0123456789");
    assert_eq!(bytes(server.get(&file).await).await, b"0123456789");
}

#[tokio::test]
async fn without_a_size_wrong_bytes_do_not_come_to_a_good_end_either() {
    let fake = Fake::start().await;
    let mut unmeasured = entry(WHEEL, b"0123456789");
    unmeasured["size"] = json!(null);
    fake.project("x", &[unmeasured]);
    let file = address(WHEEL, b"0123456789");
    let server = Server::start(&memory().await, &fake.index()).await;
    for wrong in ["9876543210", "0", "01234567890"] {
        fake.reply(POOL, move |_| {
            let pieces = [Ok::<_, std::io::Error>(wrong)];
            axum::body::Body::from_stream(futures::stream::iter(pieces)).into_response()
        });
        aborted(server.get(&file).await).await;
    }
}

#[tokio::test]
async fn too_large_is_too_large() {
    let fake = Fake::start().await;
    let mut settings = super::UpstreamSettings::new(fake.index(), super::IndexSettings::default());
    settings.limits.file = 5;
    let server = Server::with(&memory().await, settings).await;
    let file = fake.with(WHEEL, b"0123456789");
    assert_eq!(server.get(&file).await.status(), 502);
}

#[tokio::test]
async fn what_was_compressed_on_the_way_is_unpacked() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"0123456789");
    let mut packed = Vec::new();
    let mut packer = flate2::read::GzEncoder::new(&b"0123456789"[..], flate2::Compression::best());
    std::io::Read::read_to_end(&mut packer, &mut packed).unwrap();
    let gzip = |bytes: Vec<u8>| {
        move |_: &http::HeaderMap| {
            ([(header::CONTENT_ENCODING, "gzip")], bytes.clone()).into_response()
        }
    };
    fake.reply(POOL, gzip(packed));
    let server = Server::start(&memory().await, &fake.index()).await;
    assert_eq!(bytes(server.get(&file).await).await, b"0123456789");
    // A server that says it of the file itself.
    fake.reply(POOL, gzip(b"0123456789".to_vec()));
    let server = Server::start(&memory().await, &fake.index()).await;
    assert_eq!(bytes(server.get(&file).await).await, b"0123456789");
    fake.reply(POOL, gzip(b"rubbish".to_vec()));
    let server = Server::start(&memory().await, &fake.index()).await;
    assert_eq!(server.get(&file).await.status(), 502);
}

#[tokio::test]
async fn metadata_is_checked_and_taken_out_of_the_wheel_if_the_index_has_none() {
    const METADATA: &str = "Metadata-Version: 2.1\nName: x\nVersion: 1.0\n";
    let mut writer = WheelWriter::new(WHEEL.parse().unwrap());
    for (name, content) in [
        ("x-1.0.dist-info/METADATA", METADATA),
        ("x-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n"),
    ] {
        writer.insert(name, content, false).unwrap();
    }
    let wheel: &'static [u8] = writer.finish().unwrap().leak();
    let fake = Fake::start().await;
    let mut advertised = entry(WHEEL, wheel);
    advertised["core-metadata"] = json!({"sha256": Digest::of(METADATA)});
    fake.project("x", &[advertised]);
    let beside = format!("{POOL}.metadata");
    fake.file(&beside, METADATA.as_bytes());
    fake.file(POOL, wheel);
    let address = format!("{}.metadata", address(WHEEL, wheel));
    let server = Server::start(&memory().await, &fake.index()).await;
    for _ in 0..2 {
        let answer = server.get(&address).await;
        assert_eq!(bytes(answer).await, METADATA.as_bytes());
    }
    assert_eq!((fake.asked(&beside), fake.asked(POOL)), (1, 0));
    fake.reply(&beside, |_| StatusCode::NOT_FOUND.into_response());
    let server = Server::start(&memory().await, &fake.index()).await;
    for _ in 0..2 {
        let answer = server.get(&address).await;
        assert_eq!(bytes(answer).await, METADATA.as_bytes());
    }
    assert_eq!(fake.asked(POOL), 1);
    fake.file(&beside, b"Name: y\n");
    let server = Server::start(&memory().await, &fake.index()).await;
    let answer = server.get(&address).await;
    aborted(answer).await;
}
