use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use chrono::DateTime;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;
use wheelfarm_build::history;
use wheelfarm_build::records::{BuildOutcome, HistoryRecord};
use wheelfarm_types::{Digest, WheelFilename};
use wheelfarm_wheel::WheelWriter;

use crate::registry::testing::{commit, publish, registry};
use crate::registry::{
    Channel, Event, MetadataFile, Origin, ProjectStatus, PublishedFile, Registry, Scope, Status,
    Token, Yank,
};
use crate::{App, ChannelSettings, Settings};

const WHEEL: &str = "psycopg2-2.9.10-cp311-cp311-manylinux_2_34_x86_64.whl";

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }

    /// Whether the page has this text, however its lines are broken.
    fn says(&self, text: &str) -> bool {
        self.body
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(text)
    }
}

fn app(registry: Registry, settings: Settings) -> Arc<App> {
    App::new(
        registry,
        settings,
        None,
        Arc::new(|| DateTime::from_timestamp(100_000, 0).unwrap()),
    )
    .unwrap()
}

async fn get_with(app: &Arc<App>, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder()
        .uri(path)
        .header("host", "wheels.example:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app
        .clone()
        .router()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    }
}

async fn get(app: &Arc<App>, path: &str) -> Answer {
    get_with(app, path, &[]).await
}

/// Publishes a real wheel without compiled parts, with these lines in its METADATA.
async fn publish_real(
    registry: &Registry,
    filename: &str,
    summary: &str,
    lines: &str,
) -> PublishedFile {
    let parsed: WheelFilename = filename.parse().unwrap();
    let (name, version) = (parsed.name.clone(), parsed.version.clone());
    let metadata = format!("Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{lines}");
    let mut writer = WheelWriter::new(parsed.clone());
    let info = writer.dist_info().to_owned();
    let tag = filename
        .trim_end_matches(".whl")
        .splitn(3, '-')
        .nth(2)
        .unwrap();
    let wheel =
        format!("Wheel-Version: 1.0\nGenerator: <u>g</u>\nRoot-Is-Purelib: true\nTag: {tag}\n");
    writer
        .insert(&format!("{info}/METADATA"), metadata.clone(), false)
        .unwrap();
    writer
        .insert(&format!("{info}/WHEEL"), wheel, false)
        .unwrap();
    writer
        .insert(&format!("{name}/a<b>&c.py"), "x = 1\n", false)
        .unwrap();
    let bytes = Bytes::from(writer.finish().unwrap());
    let store = registry.store();
    let file = PublishedFile {
        filename: filename.to_owned(),
        project: parsed.project().unwrap(),
        version,
        size: bytes.len() as u64,
        blob: store.put(bytes).await.unwrap(),
        uploaded: DateTime::from_timestamp(90_000, 0).unwrap(),
        requires_python: Some(">=3.9,<\"4\"".to_owned()),
        metadata: Some(MetadataFile {
            size: metadata.len() as u64,
            blob: store.put(metadata.into()).await.unwrap(),
        }),
        summary: Some(summary.to_owned()),
        audit: None,
        origin: Origin::Uploaded,
    };
    let event = Event::Published {
        channel: Channel::main(),
        file: Box::new(file.clone()),
    };
    commit(registry, event).await;
    file
}

#[tokio::test]
async fn every_page_is_there_and_locked_down() {
    let registry = registry().await;
    publish_real(&registry, "demo-1.0-py3-none-any.whl", "A demo", "").await;
    let app = app(registry, Settings::default());
    for path in [
        "/",
        "/projects/",
        "/projects/demo/",
        "/projects/demo/demo-1.0-py3-none-any.whl",
        "/builds/",
        "/stale/",
    ] {
        let page = get(&app, path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("cache-control"), "private, no-cache");
        // Nothing that the policy would stop.
        for inline in ["<style", "style=\"", "onclick", "<script>"] {
            assert!(!page.body.contains(inline), "{path} has {inline}");
        }
        assert_eq!(page.body.matches("<h1").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_found_by_every_page() {
    let app = app(registry().await, Settings::default());
    let home = get(&app, "/").await;
    let start = home.body.find("assets/").unwrap();
    for name in ["wheelfarm.css", "wheelfarm.js", "wheelfarm.svg"] {
        let end = home.body.find(name).unwrap() + name.len();
        let begin = home.body[..end].rfind("assets/").unwrap();
        assert!(begin >= start);
        let asset = get(&app, &format!("/{}", &home.body[begin..end])).await;
        assert_eq!(asset.status, 200, "{name}");
        assert_eq!(
            asset.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(get(&app, "/assets/0123-wheelfarm.css").await.status, 404);
    let deeper = get(&app, "/projects/demo/x.whl").await;
    assert!(
        deeper.body.contains("href=\"../../assets/"),
        "{}",
        deeper.body
    );
}

#[tokio::test]
async fn hostile_metadata_is_text() {
    let registry = registry().await;
    let lines = "Project-URL: Evil, javascript:alert(1)\nProject-URL: <i>, https://example.org/?a=\"><script>x\n\
                 Requires-Dist: y; extra == '<b>'\nAuthor: <img src=x onerror=alert(1)>\nLicense: </dd><script>\n\
                 Classifier: <script>alert(2)</script>\n";
    let name = "demo-1.0-py3-none-any.whl";
    publish_real(&registry, name, "</p><script>alert(0)</script>", lines).await;
    commit(
        &registry,
        Event::Yanked {
            channel: Channel::main(),
            project: "demo".parse().unwrap(),
            filename: name.into(),
            yank: Some(Yank {
                reason: Some("<script>yank</script>".into()),
            }),
        },
    )
    .await;
    let app = app(registry, Settings::default());
    let file = format!("/projects/demo/{name}");
    for path in [
        "/",
        "/projects/",
        "/projects/?q=%3Cscript%3Ealert(3)%3C/script%3E",
        "/projects/demo/",
        &file,
    ] {
        let page = get(&app, path).await;
        assert_eq!(
            page.body.matches("<script").count(),
            1,
            "{path}: {}",
            page.body
        );
        assert!(
            !page.body.contains("<img src=x") && !page.body.contains("href=\"javascript:"),
            "{path}"
        );
    }
    let page = get(&app, &file).await;
    assert!(page.body.contains("a&#60;b&#62;&#38;c.py"), "{}", page.body);
    assert!(page.says("&#60;script&#62;yank&#60;/script&#62;"));
    assert!(
        page.body
            .contains("href=\"https://example.org/?a=&#34;&#62;&#60;script&#62;x\"")
    );
}

#[tokio::test]
async fn snippets_have_the_address_of_the_request() {
    let registry = registry().await;
    let file = publish_real(&registry, "demo-1.0-py3-none-any.whl", "", "").await;
    let app = app(registry, Settings::default());
    let home = get(&app, "/").await;
    assert!(home.says("pip install --index-url http://wheels.example:8080/simple/ --trusted-host wheels.example demo"));
    let proxied = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "w.example"),
        ("x-forwarded-prefix", "/py"),
    ];
    let home = get_with(&app, "/", &proxied).await;
    assert!(home.says("pip install --index-url https://w.example/py/simple/ demo"));
    let page = get(&app, "/projects/demo/demo-1.0-py3-none-any.whl").await;
    assert!(
        page.says(&format!("demo==1.0 \\ --hash=sha256:{}", file.blob)),
        "{}",
        page.body
    );
    assert!(page.body.contains(&format!(
        "../../files/{}/demo-1.0-py3-none-any.whl",
        file.blob
    )));
}

#[tokio::test]
async fn what_is_not_there_is_a_page_that_says_so() {
    let app = app(registry().await, Settings::default());
    for path in [
        "/projects/nothing/",
        "/projects/no%20name/",
        "/projects/nothing/x-1-py3-none-any.whl",
        "/?channel=other",
        "/?channel=..%2F",
        "/builds/nothing",
        "/builds/a.1.b",
    ] {
        let page = get(&app, path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.body.contains("<h1>Not here</h1>"), "{path}");
        assert!(!page.header("content-security-policy").is_empty());
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    }
    let twice = get(&app, "/projects/?q=a&q=b").await;
    assert_eq!(twice.status, 400);
    assert_eq!(
        get(&app, "/projects/?page=18446744073709551615")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn addresses_without_their_slash_lead_on() {
    let registry = registry().await;
    publish(&registry, &Channel::main(), WHEEL, b"x").await;
    let app = app(registry, Settings::default());
    for (from, to) in [
        ("/projects?q=a", "projects/?q=a"),
        ("/projects/Psycopg2", "psycopg2/"),
        ("/builds", "builds/"),
        ("/stale", "stale/"),
    ] {
        let page = get(&app, from).await;
        assert_eq!((page.status, page.header("location")), (308, to), "{from}");
    }
}

#[tokio::test]
async fn private_channels_are_for_those_with_a_token() {
    let registry = registry().await;
    let secret: Channel = "secret".parse().unwrap();
    publish(&registry, &secret, WHEEL, b"x").await;
    publish(&registry, &Channel::main(), "open-1-py3-none-any.whl", b"y").await;
    let scopes = [Scope::Read].into();
    let (token, key) = Token::generate(
        "ci".into(),
        scopes,
        [secret.clone()].into(),
        DateTime::UNIX_EPOCH,
        None,
    )
    .unwrap();
    commit(&registry, Event::TokenCreated { token }).await;
    let mut settings = Settings::default();
    settings.channels.insert(
        secret,
        ChannelSettings {
            private: true,
            ..ChannelSettings::default()
        },
    );
    let app = app(registry, settings);
    let home = get(&app, "/").await;
    assert!(
        home.status == 200 && !home.body.contains("secret"),
        "{}",
        home.body
    );
    for path in [
        "/?channel=secret",
        "/projects/psycopg2/?channel=secret",
        "/builds/",
        "/login",
    ] {
        let page = get(&app, path).await;
        assert_eq!(page.status, 401, "{path}");
        assert!(page.header("www-authenticate").starts_with("Basic"));
        assert!(page.body.contains("<h1>A token is needed</h1>"));
    }
    let bearer = format!("Bearer {key}");
    let with = [("authorization", bearer.as_str())];
    let home = get_with(&app, "/", &with).await;
    assert!(home.says("href=\"./?channel=secret\""), "{}", home.body);
    let page = get_with(&app, "/projects/psycopg2/?channel=secret", &with).await;
    assert_eq!(page.status, 200);
    assert!(
        page.body
            .contains(&format!("href=\"{WHEEL}?channel=secret\"")),
        "links stay in the channel"
    );
    assert!(page.says("http://wheels.example:8080/secret/simple/"));
    assert_eq!(get_with(&app, "/login", &with).await.status, 303);
}

#[tokio::test]
async fn a_search_finds_names_first() {
    let registry = registry().await;
    publish_real(&registry, "lxml-1.0-py3-none-any.whl", "XML", "").await;
    publish_real(&registry, "my_lxml-1.0-py3-none-any.whl", "", "").await;
    publish_real(
        &registry,
        "html-1.0-py3-none-any.whl",
        "Uses lxml below",
        "",
    )
    .await;
    publish_real(&registry, "other-1.0-py3-none-any.whl", "", "").await;
    let app = app(registry, Settings::default());
    let page = get(&app, "/projects/?q=LXML").await;
    let at = |name: &str| {
        page.body
            .find(&format!("href=\"../projects/{name}/\""))
            .unwrap()
    };
    assert!(at("lxml") < at("my-lxml") && at("my-lxml") < at("html"));
    assert!(page.says("3 projects for"));
    assert!(!page.body.contains("projects/other/"));
    assert!(
        get(&app, "/projects/?q=my_lxml")
            .await
            .says("1 project for")
    );
    assert!(
        get(&app, "/projects/?q=nothing")
            .await
            .says("0 projects for")
    );
}

#[tokio::test]
async fn a_change_is_seen_at_once() {
    let registry = registry().await;
    publish_real(&registry, "lxml-1.0-py3-none-any.whl", "first", "").await;
    let app = app(registry, Settings::default());
    assert!(get(&app, "/projects/").await.body.contains("first"));
    publish_real(&app.registry, "lxml-2.0-py3-none-any.whl", "second", "").await;
    let page = get(&app, "/projects/").await;
    assert!(page.says("<td class=\"tight\">2.0</td>"), "{}", page.body);
    let status = ProjectStatus {
        status: Status::Quarantined,
        reason: Some("looks <bad>".into()),
    };
    commit(
        &app.registry,
        Event::StatusChanged {
            channel: Channel::main(),
            project: "lxml".parse().unwrap(),
            status,
        },
    )
    .await;
    assert!(get(&app, "/projects/").await.body.contains("quarantined"));
    assert!(
        get(&app, "/projects/lxml/")
            .await
            .says("looks &#60;bad&#62;")
    );
}

async fn failed(registry: &Registry, version: &str) -> Digest {
    let log = registry
        .store()
        .put("\u{1b}[31merror\u{1b}[0m: <pq.h> is missing\n".into())
        .await
        .unwrap();
    let record = HistoryRecord {
        project: "psycopg2".parse().unwrap(),
        version: version.parse().unwrap(),
        cell: "cp313-manylinux_2_36_x86_64".into(),
        raw_key: Digest::of("key"),
        outcome: BuildOutcome::Failed {
            reason: "its build ended with exit code 1".into(),
        },
        log,
        seconds: 75.0,
        finished: 99_000,
        execution: None,
    };
    history::append(registry.store(), &record).await.unwrap();
    log
}

#[tokio::test]
async fn builds_are_listed_and_their_logs_shown() {
    let registry = registry().await;
    publish(&registry, &Channel::main(), WHEEL, b"x").await;
    failed(&registry, "2.9.10").await;
    let app = app(registry, Settings::default());
    let builds = get(&app, "/builds/").await;
    assert!(builds.says("1 build"), "{}", builds.body);
    let start = builds.body.find("href=\"psycopg2.").unwrap() + 6;
    let id = &builds.body[start..][..builds.body[start..].find('"').unwrap()];
    let build = get(&app, &format!("/builds/{id}")).await;
    assert_eq!(build.status, 200);
    assert!(
        build.body.contains(">error: &#60;pq.h&#62; is missing\n<"),
        "{}",
        build.body
    );
    assert!(build.says("1 min 15 s") && build.says("its build ended with exit code 1"));
    // The matrix knows it as well.
    let project = get(&app, "/projects/psycopg2/").await;
    assert!(
        project
            .body
            .contains(&format!("href=\"../../builds/{id}\"")),
        "{}",
        project.body
    );
    assert!(project.says("last build failed"));
    assert!(get(&app, "/builds/?q=lxml").await.says("0 builds of"));
}

#[tokio::test]
async fn bytes_that_are_no_wheel_are_no_misfortune() {
    let registry = registry().await;
    publish(&registry, &Channel::main(), WHEEL, b"no zip").await;
    let app = app(registry, Settings::default());
    let page = get(&app, &format!("/projects/psycopg2/{WHEEL}")).await;
    assert_eq!(page.status, 200);
    assert!(page.says("<strong>No audit.</strong>"), "{}", page.body);
}

#[tokio::test]
async fn a_large_project_comes_in_pages() {
    let registry = registry().await;
    for version in 0..60 {
        let event = |python: u32| Event::Published {
            channel: Channel::main(),
            file: Box::new(PublishedFile {
                filename: format!(
                    "big-{version}.0-cp3{python}-cp3{python}-manylinux_2_28_x86_64.whl"
                ),
                project: "big".parse().unwrap(),
                version: format!("{version}.0"),
                blob: Digest::of(format!("{version}.{python}")),
                size: 1,
                uploaded: DateTime::UNIX_EPOCH,
                requires_python: None,
                metadata: None,
                audit: None,
                summary: None,
                origin: Origin::Built,
            }),
        };
        for python in 10..14 {
            commit(&registry, event(python)).await;
        }
    }
    let app = app(registry, Settings::default());
    let first = get(&app, "/projects/big/").await;
    assert_eq!(first.body.matches("<details class=\"release\"").count(), 25);
    assert_eq!(
        first.body.matches("\" open>").count(),
        2,
        "old releases are folded"
    );
    assert!(first.body.contains("id=\"v59.0\"") && !first.body.contains("id=\"v34.0\""));
    let last = get(&app, "/projects/big/?page=9").await;
    assert!(last.body.contains("id=\"v0.0\"") && last.says("51–60 of 60"));
}
