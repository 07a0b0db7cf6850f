use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use chrono::DateTime;
use http::{Request, header};
use http_body_util::BodyExt;
use tower::ServiceExt;
use wheelfarm_store::Store;

use crate::registry::testing::{commit, publish};
use crate::registry::{Channel, Event, PublishedFile, Registry};
use crate::{App, ChannelSettings, Settings};

const WHEEL: &str = "x-1.0-py3-none-any.whl";
const BYTES: &[u8] = b"0123456789";

/// A server with one wheel in `main`, in a directory and in memory.
async fn servers() -> Vec<(Option<tempfile::TempDir>, Arc<App>, PublishedFile)> {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().to_str().unwrap().to_owned();
    let mut servers = Vec::new();
    for (dir, address) in [(Some(dir), directory.as_str()), (None, "memory:")] {
        let registry = Registry::open(Store::open(address).await.unwrap())
            .await
            .unwrap();
        let file = publish(&registry, &Channel::main(), WHEEL, BYTES).await;
        let app = server(registry, Settings::default());
        servers.push((dir, app, file));
    }
    servers
}

fn server(registry: Registry, settings: Settings) -> Arc<App> {
    App::new(registry, settings, None, Arc::new(|| DateTime::UNIX_EPOCH)).unwrap()
}

async fn ask(app: &Arc<App>, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    app.clone().router().oneshot(request).await.unwrap()
}

fn text(response: &Response, name: header::HeaderName) -> &str {
    response.headers().get(name).unwrap().to_str().unwrap()
}

async fn bytes(response: Response) -> Vec<u8> {
    let body = response.into_body().collect().await.unwrap();
    body.to_bytes().to_vec()
}

fn path(file: &PublishedFile) -> String {
    format!("/files/{}/{}", file.blob, file.filename)
}

#[tokio::test]
async fn a_file_comes_whole_and_may_be_kept_for_ever() {
    for (_dir, app, file) in servers().await {
        for method in ["GET", "HEAD"] {
            let response = ask(&app, method, &path(&file), &[]).await;
            assert_eq!(response.status(), 200);
            assert_eq!(text(&response, header::ETAG), format!("\"{}\"", file.blob));
            assert_eq!(
                text(&response, header::CACHE_CONTROL),
                "public, max-age=31536000, immutable"
            );
            assert_eq!(text(&response, header::CONTENT_LENGTH), "10");
            assert_eq!(text(&response, header::ACCEPT_RANGES), "bytes");
            assert_eq!(
                text(&response, header::CONTENT_TYPE),
                "application/octet-stream"
            );
            assert_eq!(text(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
            let expected: &[u8] = if method == "GET" { BYTES } else { b"" };
            assert_eq!(bytes(response).await, expected);
        }
    }
}

#[tokio::test]
async fn metadata_has_the_address_of_its_wheel() {
    for (_dir, app, file) in servers().await {
        let response = ask(&app, "GET", &format!("{}.metadata", path(&file)), &[]).await;
        assert_eq!(response.status(), 200);
        let digest = file.metadata.unwrap().blob;
        assert_eq!(text(&response, header::ETAG), format!("\"{digest}\""));
        let metadata = bytes(response).await;
        assert!(metadata.starts_with(b"Metadata-Version"));
        // By its own digest it has no address.
        let other = ask(&app, "GET", &format!("/files/{digest}/{WHEEL}"), &[]).await;
        assert_eq!(other.status(), 404);
    }
}

#[tokio::test]
async fn a_range_is_a_part() {
    for (_dir, app, file) in servers().await {
        let etag = format!("\"{}\"", file.blob);
        for (range, status, length, content, expected) in [
            ("bytes=2-4", 206, "3", Some("bytes 2-4/10"), "234"),
            ("bytes=-3", 206, "3", Some("bytes 7-9/10"), "789"),
            ("bytes=8-", 206, "2", Some("bytes 8-9/10"), "89"),
            ("bytes=0-1,3-4", 200, "10", None, "0123456789"),
        ] {
            for condition in ["", &etag] {
                let mut headers = vec![("range", range)];
                if !condition.is_empty() {
                    headers.push(("if-range", condition));
                }
                let response = ask(&app, "GET", &path(&file), &headers).await;
                assert_eq!(response.status(), status, "{range}");
                assert_eq!(text(&response, header::CONTENT_LENGTH), length);
                let found = response.headers().get(header::CONTENT_RANGE);
                assert_eq!(found.map(|it| it.to_str().unwrap()), content);
                assert_eq!(bytes(response).await, expected.as_bytes());
            }
        }
        let headers = [("range", "bytes=2-4"), ("if-range", "\"other\"")];
        let response = ask(&app, "GET", &path(&file), &headers).await;
        assert_eq!(response.status(), 200);
        let response = ask(&app, "GET", &path(&file), &[("range", "bytes=10-")]).await;
        assert_eq!(response.status(), 416);
        assert_eq!(text(&response, header::CONTENT_RANGE), "bytes */10");
        let response = ask(&app, "HEAD", &path(&file), &[("range", "bytes=2-4")]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(text(&response, header::CONTENT_LENGTH), "10");
    }
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    for (_dir, app, file) in servers().await {
        let etag = format!("\"{}\"", file.blob);
        let known = [("if-none-match", etag.as_str()), ("range", "bytes=0-1")];
        let response = ask(&app, "GET", &path(&file), &known).await;
        assert_eq!(response.status(), 304);
        assert_eq!(text(&response, header::ETAG), etag);
        assert!(bytes(response).await.is_empty());
        let other = [("if-match", "\"other\"")];
        let response = ask(&app, "GET", &path(&file), &other).await;
        assert_eq!(response.status(), 412);
    }
}

#[tokio::test]
async fn other_names_and_digests_are_not_found() {
    for (_dir, app, file) in servers().await {
        let absent = "0".repeat(64);
        for path in [
            format!("/files/{}/y-1.0-py3-none-any.whl", file.blob),
            format!("/files/{}/x-1.0.tar.gz", file.blob),
            format!("/files/{}/..%2f..%2fetc", file.blob),
            format!("/files/{}/.metadata", file.blob),
            format!("/files/{}/{WHEEL}.metadata.metadata", file.blob),
            format!("/files/{absent}/{WHEEL}"),
            format!("/files/{absent}/{WHEEL}.metadata"),
            format!("/files/no-digest/{WHEEL}"),
        ] {
            assert_eq!(ask(&app, "GET", &path, &[]).await.status(), 404, "{path}");
        }
        let response = ask(&app, "POST", &path(&file), &[]).await;
        assert_eq!(response.status(), 405);
    }
}

#[tokio::test]
async fn a_private_file_does_not_exist_for_strangers() {
    let registry = crate::registry::testing::registry().await;
    let secret: Channel = "secret".parse().unwrap();
    let file = publish(&registry, &secret, WHEEL, BYTES).await;
    let settings = Settings {
        channels: BTreeMap::from([(
            secret.clone(),
            ChannelSettings {
                private: true,
                ..ChannelSettings::default()
            },
        )]),
        ..Settings::default()
    };
    let app = server(registry, settings);
    // Who has no token is asked for one, whether the file is there or not.
    let absent = format!("/files/{}/{WHEEL}", "0".repeat(64));
    for path in [&path(&file), &absent] {
        assert_eq!(ask(&app, "GET", path, &[]).await.status(), 401);
    }
    // Published in a public channel too, it is public.
    let event = Event::Published {
        channel: Channel::main(),
        file: Box::new(file.clone()),
    };
    commit(&app.registry, event).await;
    let response = ask(&app, "GET", &path(&file), &[]).await;
    assert_eq!(response.status(), 200);
    assert!(text(&response, header::CACHE_CONTROL).starts_with("public"));
}

#[tokio::test]
async fn a_file_that_is_not_as_it_was_is_not_sent() {
    let (_dir, app, file) = servers().await.remove(0);
    fs_err::write(app.registry.store().locate(&file.blob), "012").unwrap();
    for method in ["GET", "HEAD"] {
        let response = ask(&app, method, &path(&file), &[]).await;
        assert_eq!(response.status(), 503);
    }
}

#[tokio::test]
async fn an_object_that_is_longer_than_the_file_is_not_sent() {
    let (_, app, _) = servers().await.remove(1);
    let name = "x-2.0-py3-none-any.whl";
    let bytes: &[u8] = Vec::leak(vec![7; 100_000]);
    let mut file = publish(&app.registry, &Channel::main(), name, bytes).await;
    let response = ask(&app, "GET", &path(&file), &[]).await;
    assert!(self::bytes(response).await == bytes);
    // As if it had been shorter when it was published.
    file.size -= 1;
    let event = Event::Published {
        channel: Channel::main(),
        file: Box::new(file.clone()),
    };
    commit(&app.registry, event).await;
    let response = ask(&app, "GET", &path(&file), &[]).await;
    assert_eq!(response.status(), 503);
}
