//! What is answered without the router is answered as the router would.

use axum::body::Body;
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::server::visit::REQUEST_ID;

/// Status, headers and body by way of the router alone.
async fn routed(
    served: &Served,
    method: &str,
    path: &str,
    asked: &str,
) -> (u16, HeaderMap, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in asked.lines().filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let request = request.body(Body::empty()).unwrap();
    let router = served.app.clone().router();
    let (mut parts, body) = router.oneshot(request).await.unwrap().into_parts();
    if parts.status == 304 {
        // axum puts a length of 0 there, which is that of the missing body and not that of the file.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (parts.status.as_u16(), parts.headers, body)
}

/// The same over a connection.
async fn over_the_wire(
    served: &Served,
    method: &str,
    path: &str,
    asked: &str,
) -> (u16, HeaderMap, Vec<u8>) {
    let mut stream = served.connect().await;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{asked}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let (head, body) = answer.split_at(end + 4);
    let head = str::from_utf8(head).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
    {
        let name = header::HeaderName::try_from(name).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // These belong to the connection.
    for name in [REQUEST_ID, header::DATE, header::CONNECTION] {
        headers.remove(name);
    }
    (status, headers, body.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_router_would_say_the_same() {
    let served = serve(Settings::default()).await;
    let (file, _) = served.wheel(100_000).await;
    let (digest, name) = (file.blob, &file.filename);
    let whole = format!("/files/{digest}/{name}");
    let known = format!("If-None-Match: \"{digest}\"\r\n");
    let mut requests = vec![
        (
            "GET",
            whole.clone(),
            "Range: bytes=10-19\r\n".to_owned(),
            206,
        ),
        (
            "GET",
            whole.clone(),
            "Range: bytes=100000-\r\n".to_owned(),
            416,
        ),
        ("GET", whole.clone(), known.clone(), 304),
        ("HEAD", whole.clone(), known, 304),
        ("GET", whole.replace("py3", "py2"), String::new(), 404),
        ("GET", format!("/simple/{name}/"), String::new(), 301),
        ("GET", "/simple/X/".to_owned(), String::new(), 301),
        ("GET", "/simple/y/".to_owned(), String::new(), 404),
        (
            "GET",
            "/simple/x/?format=nonsense".to_owned(),
            String::new(),
            406,
        ),
    ];
    for method in ["GET", "HEAD"] {
        for path in [
            whole.clone(),
            format!("{whole}.metadata"),
            whole.replace('-', "%2D"),
            format!("{whole}?a=b"),
            "/simple/x/".to_owned(),
            "/simple/x/?format=application/vnd.pypi.simple.v1+json".to_owned(),
        ] {
            requests.push((method, path.clone(), String::new(), 200));
            requests.push((method, path, "Accept-Encoding: gzip\r\n".to_owned(), 200));
        }
    }
    for (method, path, asked, status) in requests {
        let expected = routed(&served, method, &path, &asked).await;
        assert_eq!(expected.0, status, "{method} {path} {asked}");
        let found = over_the_wire(&served, method, &path, &asked).await;
        assert_eq!(found.0, expected.0, "{method} {path} {asked}");
        assert_eq!(found.1, expected.1, "{method} {path} {asked}");
        assert!(found.2 == expected.2, "{method} {path} {asked}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_page_comes_whole() {
    let served = serve(Settings::default()).await;
    for version in 0..300 {
        let name = format!("x-{version}-py3-none-any.whl");
        publish(&served.app.registry, &Channel::main(), &name, b"wheel").await;
    }
    let path = "/simple/x/";
    let expected = routed(&served, "GET", path, "").await;
    assert!(expected.2.len() > 64 << 10);
    // The first time it is made, then it is kept; on one connection as well.
    for _ in 0..2 {
        assert_eq!(over_the_wire(&served, "GET", path, "").await, expected);
    }
    let mut stream = served.connect().await;
    let request = "GET /simple/x/ HTTP/1.1\r\nHost: x\r\n\r\n";
    stream
        .write_all(request.repeat(3).as_bytes())
        .await
        .unwrap();
    for _ in 0..3 {
        assert!(answer(&mut stream).await.1 == expected.2);
    }
}
