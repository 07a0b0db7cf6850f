use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde_json::{Value, json};
use wheelfarm_types::Digest;

use super::fake::{Fake, address, entry};
use super::{Server, bytes, memory, page_path, text};
use crate::upstream::UpstreamSettings;

const WHEEL: &str = "x-1.0-py3-none-any.whl";

#[tokio::test]
async fn a_page_keeps_its_facts_and_its_files_are_ours() {
    let fake = Fake::start().await;
    let mut full = entry(WHEEL, b"wheel");
    full["requires-python"] = json!(">=3.9");
    full["yanked"] = json!("broken");
    full["core-metadata"] = json!({"sha256": Digest::of("metadata")});
    full["provenance"] = json!("https://host/provenance");
    full["hashes"]["blake2b"] = json!("ab");
    fake.project("x", &[full]);
    let server = Server::start(&memory().await, &fake.index()).await;
    let page = server.page("x").await;
    let sha256 = json!({"sha256": Digest::of("metadata")});
    let expected = json!({
        "filename": WHEEL,
        "url": format!("../..{}", address(WHEEL, b"wheel")),
        "hashes": {"sha256": Digest::of("wheel"), "blake2b": "ab"},
        "size": 5,
        "upload-time": "2025-12-25T00:00:00.000000Z",
        "requires-python": ">=3.9",
        "yanked": "broken",
        "core-metadata": sha256,
        "dist-info-metadata": sha256,
        "provenance": "https://host/provenance",
    });
    assert_eq!(page["files"], json!([expected]));
    let html = server
        .ask("GET", &page_path("x"), &[("accept", "text/html")])
        .await;
    let html = String::from_utf8(bytes(html).await).unwrap();
    let link = format!("../..{}#sha256=", address(WHEEL, b"wheel"));
    assert!(html.contains(&link), "{html}");
    // Nothing of the address there is left, or clients would go past the cache.
    assert!(!html.contains("pool") && !page.to_string().contains("pool"));
    assert_eq!(fake.asked("/simple/x/"), 1);
}

#[tokio::test]
async fn an_index_that_has_html_only_is_read_too() {
    let fake = Fake::start().await;
    let html = format!(
        "<a href=\"/pool/{WHEEL}#sha256={}\" data-requires-python=\"&gt;=3.8\">{WHEEL}</a><a href=\"x-2.zip\">x-2.zip</a>",
        Digest::of("wheel")
    );
    fake.reply("/simple/x/", move |_| {
        axum::response::Html(html.clone()).into_response()
    });
    fake.file(&format!("/pool/{WHEEL}"), b"wheel");
    let server = Server::start(&memory().await, &fake.index()).await;
    let page = server.page("x").await;
    let files = page["files"].as_array().unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0]["requires-python"], ">=3.8");
    // A size that nobody knows is not made up.
    assert!(files[0].get("size").is_none());
    let file = server.get(&address(WHEEL, b"wheel")).await;
    assert_eq!(bytes(file).await, b"wheel");
}

#[tokio::test]
async fn a_page_is_asked_for_again_when_it_is_old_or_the_client_wants_news() {
    let fake = Fake::start().await;
    fake.with(WHEEL, b"wheel");
    let server = Server::start(&memory().await, &fake.index()).await;
    let etag = text(&server.get("/simple/x/").await, header::ETAG).to_owned();
    server.later(599);
    server.page("x").await;
    assert_eq!(fake.asked("/simple/x/"), 1);
    server.later(1);
    server.page("x").await;
    assert_eq!(fake.asked("/simple/x/"), 2);
    assert!(fake.last("/simple/x/").contains_key(header::IF_NONE_MATCH));
    let known = [("if-none-match", etag.as_str())];
    let answer = server.ask("GET", "/simple/x/", &known).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    // What pip says with each request is not what counts.
    let pip = ("cache-control", "max-age=0");
    server.ask("GET", "/simple/x/", &[pip]).await;
    assert_eq!(fake.asked("/simple/x/"), 2);
    fake.project("x", &[entry("x-2.zip", b"two")]);
    let news = ("cache-control", "no-cache");
    let answer = server
        .ask("GET", "/simple/x/", &[news, ("if-none-match", &etag)])
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(server.page("x").await["files"][0]["filename"], "x-2.zip");
    assert_eq!(fake.asked("/simple/x/"), 3);
}

#[tokio::test]
async fn many_clients_cause_one_request() {
    let fake = Fake::start().await;
    fake.with(WHEEL, b"wheel");
    let server = Server::start(&memory().await, &fake.index()).await;
    let gate = fake.gate();
    let clients = (0..50).map(|_| server.page("x"));
    let opened = async {
        while fake.requests() == 0 {
            tokio::task::yield_now().await;
        }
        gate.send_replace(true);
    };
    let (pages, ()) = futures::join!(futures::future::join_all(clients), opened);
    assert!(pages.iter().all(|page| page["files"][0]["size"] == 5));
    assert_eq!(fake.requests(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_not_asked_for_all_the_time() {
    let fake = Fake::start().await;
    let server = Server::start(&memory().await, &fake.index()).await;
    for _ in 0..3 {
        assert_eq!(server.get("/simple/x/").await.status(), 404);
    }
    assert_eq!(fake.requests(), 1);
    fake.with(WHEEL, b"wheel");
    server.later(60);
    assert_eq!(server.get("/simple/x/").await.status(), 200);
}

#[tokio::test]
async fn when_it_is_down_old_pages_are_served_and_others_are_worth_another_try() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"wheel");
    let store = memory().await;
    let server = Server::start(&store, &fake.index()).await;
    let fresh = server.page("x").await;
    assert_eq!(bytes(server.get(&file).await).await, b"wheel");
    fake.fails_with(StatusCode::BAD_GATEWAY);
    fake.reply("/simple/new/", |_| StatusCode::BAD_GATEWAY.into_response());
    server.later(601);
    // A server that was started while it is down has it as well.
    for server in [server, Server::start(&store, &fake.index()).await] {
        let answer = server.get("/simple/x/").await;
        assert_eq!(answer.status(), 200);
        assert!(text(&answer, header::WARNING).starts_with("110"));
        assert_eq!(server.page("x").await, fresh);
        let answer = server.get("/simple/new/").await;
        assert_eq!(answer.status(), 503);
        assert_eq!(text(&answer, header::RETRY_AFTER), "5");
        assert_eq!(bytes(server.get(&file).await).await, b"wheel");
    }
}

#[tokio::test]
async fn who_is_down_is_left_alone_for_a_while() {
    let fake = Fake::start().await;
    fake.reply("/simple/x/", |_| {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    });
    let server = Server::start(&memory().await, &fake.index()).await;
    assert_eq!(server.get("/simple/x/").await.status(), 503);
    let asked = fake.requests();
    for project in ["x", "y", "z"] {
        assert_eq!(server.get(&page_path(project)).await.status(), 503);
    }
    assert_eq!(fake.requests(), asked);
    fake.with(WHEEL, b"wheel");
    server.later(5);
    assert_eq!(server.get("/simple/x/").await.status(), 200);
}

#[tokio::test]
async fn nobody_there_is_no_404() {
    let fake = Fake::start().await;
    let index = fake.index();
    drop(fake);
    let server = Server::start(&memory().await, &index).await;
    let answer = server.get("/simple/x/").await;
    assert_eq!(answer.status(), 503);
    let file = address(WHEEL, b"wheel");
    assert_eq!(server.get(&file).await.status(), 503);
}

#[tokio::test]
async fn pages_that_are_none_or_too_large_are_no_pages() {
    let fake = Fake::start().await;
    let store = memory().await;
    let mut settings = UpstreamSettings::new(fake.index(), super::IndexSettings::default());
    settings.limits.page = 1000;
    let server = Server::with(&store, settings).await;
    let json = |body: String| {
        let kind = [(header::CONTENT_TYPE, "application/vnd.pypi.simple.v1+json")];
        (kind, body).into_response()
    };
    fake.reply("/simple/a/", move |_| json("no json".to_owned()));
    let large = json!({"files": [], "x": "y".repeat(1000)}).to_string();
    fake.reply("/simple/b/", move |_| json(large.clone()));
    // Small on the way and large in memory.
    let mut bomb = Vec::new();
    let page = json!({"files": [], "x": "y".repeat(1_000_000)}).to_string();
    let mut packer = flate2::read::GzEncoder::new(page.as_bytes(), flate2::Compression::best());
    std::io::Read::read_to_end(&mut packer, &mut bomb).unwrap();
    assert!(bomb.len() < 2000);
    fake.reply("/simple/c/", move |_| {
        let gzip = [(header::CONTENT_ENCODING, "gzip")];
        (gzip, json(String::new()).headers().clone(), bomb.clone()).into_response()
    });
    for project in ["a", "b", "c"] {
        let answer = server.get(&page_path(project)).await;
        assert_eq!(answer.status(), 502, "{project}");
    }
}

#[tokio::test]
async fn two_servers_share_what_they_know() {
    let fake = Fake::start().await;
    fake.with(WHEEL, b"wheel");
    let store = memory().await;
    let one = Server::start(&store, &fake.index()).await;
    let two = Server::start(&store, &fake.index()).await;
    one.page("x").await;
    two.page("x").await;
    // The second one asks whether the first one's page is still true.
    assert_eq!(fake.requests(), 2);
    let page = &one.page("x").await["files"][0];
    assert_eq!(page, &two.page("x").await["files"][0]);
    assert!(fake.last("/simple/x/").contains_key(header::IF_NONE_MATCH));
    // A file that is new on the page of one is found by the other at once: their client does not know which is which.
    let file = address("x-2.zip", b"two");
    fake.project("x", &[entry(WHEEL, b"wheel"), entry("x-2.zip", b"two")]);
    fake.file("/pool/x-2.zip", b"two");
    let news = ("cache-control", "no-cache");
    one.ask("GET", "/simple/x/", &[news]).await;
    two.later(1);
    assert_eq!(bytes(two.get(&file).await).await, b"two");
}

#[tokio::test]
async fn a_redirect_is_followed_and_addresses_are_relative_to_where_it_leads() {
    let fake = Fake::start().await;
    let there = fake.url("/other/place/x/");
    fake.reply("/simple/x/", move |_| {
        axum::response::Redirect::temporary(&there).into_response()
    });
    let files: Value = json!({"files": [{
        "filename": WHEEL, "url": "wheel", "hashes": {"sha256": Digest::of("wheel")},
    }]});
    fake.reply("/other/place/x/", move |_| {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (kind, files.to_string()).into_response()
    });
    let moved = fake.url("/moved");
    fake.reply("/other/place/x/wheel", move |_| {
        axum::response::Redirect::permanent(&moved).into_response()
    });
    fake.file("/moved", b"wheel");
    let server = Server::start(&memory().await, &fake.index()).await;
    server.page("x").await;
    let file = server.get(&address(WHEEL, b"wheel")).await;
    assert_eq!(bytes(file).await, b"wheel");
}
