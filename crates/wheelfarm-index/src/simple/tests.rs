use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use wheelfarm_types::Digest;

use super::*;
use crate::registry::testing::{commit, publish, registry};
use crate::registry::{Event, ProjectStatus, PublishedFile, Registry, Status, Token, Yank};
use crate::{ChannelSettings, Settings};

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const WHEEL: &str = "psycopg2-2.9.10-cp311-cp311-manylinux_2_34_x86_64.whl";

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

fn app(registry: Registry, settings: Settings) -> Arc<App> {
    let clock = Arc::new(|| chrono::DateTime::UNIX_EPOCH);
    App::new(registry, settings, None, clock).unwrap()
}

async fn ask(app: &Arc<App>, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

async fn get(app: &Arc<App>, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(app, "GET", path, headers).await
}

async fn one_wheel() -> (Arc<App>, PublishedFile) {
    let registry = registry().await;
    let file = publish(&registry, &Channel::main(), WHEEL, b"wheel").await;
    (app(registry, Settings::default()), file)
}

#[tokio::test]
async fn a_project_has_a_page_in_every_form() {
    let (app, file) = one_wheel().await;
    for (accept, content_type) in [
        ("*/*", "text/html; charset=utf-8"),
        (JSON, JSON),
        (
            "application/vnd.pypi.simple.v1+html",
            "application/vnd.pypi.simple.v1+html",
        ),
        ("application/vnd.pypi.simple.latest+json", JSON),
    ] {
        let answer = get(&app, "/simple/psycopg2/", &[("accept", accept)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), content_type);
        assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
        assert!(answer.header("last-modified").is_empty());
        let link = format!("../../files/{}/{WHEEL}", file.blob);
        assert!(answer.text().contains(&link));
    }
    let page = get(&app, "/simple/psycopg2/", &[("accept", JSON)])
        .await
        .json();
    assert_eq!(
        page["files"][0]["hashes"]["sha256"],
        Digest::of("wheel").to_string()
    );
    assert_eq!(page["project-status"]["status"], "active");
    let other = [("accept", "application/vnd.pypi.simple.v2+json")];
    assert_eq!(get(&app, "/simple/psycopg2/", &other).await.status, 406);
    let asked = format!("/simple/psycopg2/?format={JSON}");
    assert_eq!(get(&app, &asked, &[]).await.header("content-type"), JSON);
}

#[tokio::test]
async fn the_root_lists_projects_and_grows() {
    let (app, _) = one_wheel().await;
    let root = get(&app, "/simple/", &[("accept", JSON)]).await;
    assert_eq!(root.json()["projects"][0]["name"], "psycopg2");
    publish(
        &app.registry,
        &Channel::main(),
        "a-1-py3-none-any.whl",
        b"a",
    )
    .await;
    let again = get(&app, "/simple/", &[("accept", JSON)]).await;
    assert_eq!(again.json()["projects"][0]["name"], "a");
    assert_ne!(again.header("etag"), root.header("etag"));
    let html = get(&app, "/simple/", &[]).await;
    assert!(html.text().contains("<a href=\"psycopg2/\">psycopg2</a>"));
}

#[tokio::test]
async fn a_change_is_seen_at_once_and_nothing_else_is_sent_again() {
    let (app, file) = one_wheel().await;
    let before = get(&app, "/simple/psycopg2/", &[("accept", JSON)]).await;
    let tag = before.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() == 34, "{tag}");
    let known = [("accept", JSON), ("if-none-match", tag.as_str())];
    let unchanged = get(&app, "/simple/psycopg2/", &known).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), tag);
    // Another form is another page.
    let html = [("accept", "text/html"), ("if-none-match", tag.as_str())];
    assert_eq!(get(&app, "/simple/psycopg2/", &html).await.status, 200);
    let yanked = Event::Yanked {
        channel: Channel::main(),
        project: file.project.clone(),
        filename: WHEEL.into(),
        yank: Some(Yank {
            reason: Some("broken".into()),
        }),
    };
    commit(&app.registry, yanked).await;
    let after = get(&app, "/simple/psycopg2/", &known).await;
    assert_eq!(after.status, 200);
    assert_eq!(after.json()["files"][0]["yanked"], "broken");
    let html = get(&app, "/simple/psycopg2/", &[]).await;
    assert!(html.text().contains("data-yanked=\"broken\""));
    let deleted = Event::Deleted {
        channel: Channel::main(),
        project: file.project.clone(),
        filename: WHEEL.into(),
    };
    commit(&app.registry, deleted).await;
    // The name is still the farm's own: nobody shall look for it elsewhere.
    let empty = get(&app, "/simple/psycopg2/", &[("accept", JSON)]).await;
    assert_eq!(
        (empty.status, &empty.json()["files"]),
        (200, &Value::Array(vec![]))
    );
}

#[tokio::test]
async fn a_head_is_a_page_without_its_bytes() {
    let (app, _) = one_wheel().await;
    for path in ["/simple/", "/simple/psycopg2/"] {
        let page = get(&app, path, &[]).await;
        let head = ask(&app, "HEAD", path, &[]).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-length", "content-type", "etag", "cache-control"] {
            assert_eq!(head.header(name), page.header(name), "{name}");
        }
        assert_eq!(ask(&app, "POST", path, &[]).await.status, 405);
    }
}

#[tokio::test]
async fn pages_are_sent_compressed() {
    let registry = registry().await;
    for number in 0..600 {
        let name: &str = Box::leak(format!("x-{number}-py3-none-any.whl").into_boxed_str());
        publish(&registry, &Channel::main(), name, b"x").await;
    }
    let app = app(registry, Settings::default());
    let plain = get(&app, "/simple/x/", &[]).await;
    for coding in ["zstd", "br", "gzip"] {
        for _ in 0..2 {
            let page = get(&app, "/simple/x/", &[("accept-encoding", coding)]).await;
            assert_eq!(page.header("content-encoding"), coding);
            assert_eq!(page.header("content-length"), page.body.len().to_string());
            assert!(page.body.len() * 4 < plain.body.len());
            assert_ne!(page.header("etag"), plain.header("etag"));
        }
    }
    let deflate = get(&app, "/simple/x/", &[("accept-encoding", "deflate")]).await;
    assert_eq!(deflate.header("content-encoding"), "");
    assert_eq!(deflate.body, plain.body);
}

#[tokio::test]
async fn other_spellings_lead_to_the_normalised_one() {
    let (app, _) = one_wheel().await;
    for (path, location) in [
        ("/simple", "simple/"),
        ("/simple/psycopg2", "psycopg2/"),
        ("/simple/PsycoPG2/", "../psycopg2/"),
        ("/simple/Foo.Bar__baz/", "../foo-bar-baz/"),
        ("/simple/Foo.Bar", "foo-bar/"),
        (
            "/simple/Foo.Bar?format=text/html",
            "foo-bar/?format=text/html",
        ),
        ("/staging/simple", "simple/"),
        ("/staging/simple/Foo/", "../foo/"),
        ("/staging/simple/Foo", "foo/"),
        ("/main/simple/", "../../simple/"),
        ("/main/simple/Foo/", "../../../simple/foo/"),
    ] {
        let answer = get(&app, path, &[]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (301, location),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let (app, _) = one_wheel().await;
    for path in [
        "/simple/other/",
        "/simple/%C3%A9/",
        "/simple/-/",
        "/simple/a%2Fb/",
        "/simple/a%00/",
        "/simple/..%2f/",
        "/staging/simple/",
        "/staging/simple/psycopg2/",
        "/Staging/simple/psycopg2/",
        "/simple/simple/simple/",
        "/simple/psycopg2/x",
    ] {
        assert_eq!(get(&app, path, &[]).await.status, 404, "{path}");
    }
    let problem = get(&app, "/simple/other/", &[]).await;
    assert_eq!(problem.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn a_quarantined_project_names_no_file() {
    let (app, file) = one_wheel().await;
    let status = ProjectStatus {
        status: Status::Quarantined,
        reason: Some("looked <odd>".into()),
    };
    let changed = Event::StatusChanged {
        channel: Channel::main(),
        project: file.project.clone(),
        status,
    };
    commit(&app.registry, changed).await;
    let page = get(&app, "/simple/psycopg2/", &[("accept", JSON)])
        .await
        .json();
    assert_eq!(page["files"], Value::Array(vec![]));
    assert_eq!(page["versions"], Value::Array(vec![]));
    assert_eq!(page["project-status"]["status"], "quarantined");
    assert!(page["meta"].get("project-status").is_none());
    let html = get(&app, "/simple/psycopg2/", &[]).await;
    let meta = "<meta name=\"pypi:project-status-reason\" content=\"looked &lt;odd&gt;\">";
    assert!(html.text().contains(meta) && !html.text().contains("<a "));
}

#[tokio::test]
async fn channels_are_apart() {
    let registry = registry().await;
    let staging: Channel = "staging".parse().unwrap();
    let file = publish(&registry, &staging, WHEEL, b"staged").await;
    let scopes = [Scope::Read].into();
    let here = [staging.clone()].into();
    let now = chrono::DateTime::UNIX_EPOCH;
    let (token, secret) = Token::generate("ci".into(), scopes, here, now, None).unwrap();
    commit(&registry, Event::TokenCreated { token }).await;
    let mut settings = Settings::default();
    let own = ChannelSettings {
        private: true,
        ..ChannelSettings::default()
    };
    settings.channels.insert(staging, own.clone());
    settings
        .channels
        .insert("empty".parse().unwrap(), ChannelSettings::default());
    let app = app(registry, settings);
    assert_eq!(get(&app, "/simple/psycopg2/", &[]).await.status, 404);
    for path in [
        "/staging/simple/psycopg2/",
        "/staging/simple/",
        "/staging/simple/none/",
    ] {
        let refused = get(&app, path, &[]).await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").starts_with("Basic"));
    }
    let bearer = format!("Bearer {secret}");
    let mine = [("authorization", bearer.as_str())];
    let page = get(&app, "/staging/simple/psycopg2/", &mine).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("cache-control"), "private, no-cache");
    let link = format!("\"../../../files/{}/{WHEEL}#sha256=", file.blob);
    assert!(page.text().contains(&link), "{}", page.text());
    // Who may read is told that something is not there, not that he may not know.
    assert_eq!(get(&app, "/staging/simple/none/", &mine).await.status, 404);
    assert_eq!(get(&app, "/empty/simple/", &[]).await.status, 200);
    assert_eq!(get(&app, "/empty/simple/x/", &[]).await.status, 404);
}
