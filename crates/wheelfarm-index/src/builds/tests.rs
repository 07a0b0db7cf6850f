//! The queue and its addresses, with a builder that pretends.

mod ended;
mod forms;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use chrono::DateTime;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::testing::{CELL, Pretender};
use super::{BuildSettings, Builds};
use crate::registry::testing::{commit, publish, registry};
use crate::registry::{Channel, Event, Scope, Token};
use crate::{App, Settings};

struct Server {
    app: Arc<App>,
    builder: Arc<Pretender>,
    stop: CancellationToken,
    secret: String,
    other: String,
    reader: String,
}

impl Server {
    async fn start(builder: Pretender, settings: BuildSettings) -> Self {
        let registry = registry().await;
        let mut secrets = Vec::new();
        for (name, scope) in [
            ("ci", Scope::Build),
            ("other", Scope::Build),
            ("reader", Scope::Read),
        ] {
            let now = DateTime::UNIX_EPOCH;
            let scopes = [scope].into();
            let (token, secret) =
                Token::generate(name.into(), scopes, BTreeSet::new(), now, None).unwrap();
            commit(&registry, Event::TokenCreated { token }).await;
            secrets.push(secret);
        }
        let builder = Arc::new(builder);
        let stop = CancellationToken::new();
        let builds = Builds::new(Arc::clone(&builder) as _, settings, stop.clone());
        let clock = Arc::new(|| DateTime::UNIX_EPOCH);
        let app = App::new(registry, Settings::default(), Some(Arc::new(builds)), clock).unwrap();
        let [secret, other, reader] = secrets.try_into().unwrap();
        Self {
            app,
            builder,
            stop,
            secret,
            other,
            reader,
        }
    }

    async fn with(settings: BuildSettings) -> Self {
        Self::start(Pretender::default(), settings).await
    }

    async fn ask(&self, method: &str, path: &str, secret: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {secret}"))
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = Arc::clone(&self.app)
            .router()
            .oneshot(request)
            .await
            .unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        (status, value)
    }

    async fn build(&self, secret: &str, name: &str) -> (StatusCode, Value) {
        let body = json!({ "requirements": [name] }).to_string();
        self.ask("POST", "/api/builds", secret, &body).await
    }

    /// Events of a build from `last` to its end, as numbers and objects.
    async fn follow(&self, id: &str, last: u64) -> Vec<(u64, Value)> {
        let request = Request::get(format!("/api/builds/{id}/events"))
            .header("last-event-id", last.to_string())
            .body(Body::empty())
            .unwrap();
        let response = Arc::clone(&self.app)
            .router()
            .oneshot(request)
            .await
            .unwrap();
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let events = text.split("\n\n").filter_map(|event| {
            let (id, data) = event.strip_prefix("id: ")?.split_once("\ndata: ")?;
            Some((id.parse().unwrap(), serde_json::from_str(data).unwrap()))
        });
        events.collect()
    }
}

fn id(answer: &Value) -> &str {
    answer["build"]["id"].as_str().unwrap()
}

#[tokio::test]
async fn the_same_request_twice_is_one_build() {
    let server = Server::with(BuildSettings::default()).await;
    let (status, first) = server.build(&server.secret, "lxml").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, second) = server.build(&server.other, "lxml").await;
    assert_eq!((status, &second["joined"]), (StatusCode::OK, &json!(true)));
    assert_eq!(id(&first), id(&second));
    let (_, third) = server.build(&server.secret, "psycopg2").await;
    assert_ne!(id(&first), id(&third));
    server.builder.permits.add_permits(2);
    for answer in [&first, &third] {
        server.follow(id(answer), 0).await;
    }
    assert_eq!(server.builder.begun.load(Ordering::SeqCst), 2);
    let (_, list) = server.ask("GET", "/api/builds", &server.reader, "").await;
    let list = list["builds"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0]["id"], third["build"]["id"]);
    assert_eq!(list[1]["state"], "done");
    // What has ended is asked for anew: there may be a newer version.
    let (status, again) = server.build(&server.secret, "lxml").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_ne!(id(&first), id(&again));
}

#[tokio::test]
async fn events_go_on_after_the_last_one_seen_and_end_with_the_end() {
    let server = Server::with(BuildSettings::default()).await;
    let (_, answer) = server.build(&server.secret, "bad").await;
    server.builder.permits.add_permits(1);
    let events = server.follow(id(&answer), 0).await;
    let names: Vec<_> = events
        .iter()
        .map(|(_, event)| event["event"].as_str().unwrap())
        .collect();
    let expected = [
        "queued", "begin", "planned", "stage", "log", "took", "ended", "report", "end",
    ];
    assert_eq!(names, expected);
    let numbers: Vec<_> = events.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    let end = &events.last().unwrap().1;
    assert_eq!((&end["state"], &end["exit"]), (&json!("failed"), &json!(3)));
    assert_eq!(end["failures"], json!(["bad failed"]));
    assert_eq!(server.follow(id(&answer), 7).await, events[7..]);
    let (_, build) = server
        .ask("GET", &format!("/api/builds/{}", id(&answer)), "", "")
        .await;
    // What everybody may read needs no token, and a bad one does no harm.
    assert_eq!(build["state"], "failed");
    let (_, build) = server
        .ask(
            "GET",
            &format!("/api/builds/{}", id(&answer)),
            &server.reader,
            "",
        )
        .await;
    let job = &build["jobs"][0];
    assert_eq!(
        (&job["phase"], &job["stage"], &job["seconds"]),
        (&json!("failed"), &json!("build"), &json!(1.5))
    );
}

#[tokio::test]
async fn a_log_is_what_was_said_until_the_store_has_the_whole() {
    let store_has = b"the whole log";
    let builder = Pretender {
        log: Some(wheelfarm_types::Digest::of(store_has)),
        ..Pretender::default()
    };
    let server = Server::start(builder, BuildSettings::default()).await;
    server
        .app
        .registry
        .store()
        .put(bytes::Bytes::from_static(store_has))
        .await
        .unwrap();
    let (_, answer) = server.build(&server.secret, "lxml").await;
    // The stage is the third event: the log line follows it at once.
    let ticket = server.app.builds.as_ref().unwrap();
    let ticket = ticket
        .ticket(&super::BuildId::parse(id(&answer)).unwrap())
        .unwrap();
    ticket
        .feed
        .grown()
        .wait_for(|last| *last >= 5)
        .await
        .unwrap();
    let job = format!("lxml%201.0%20{CELL}");
    let path = format!("/api/builds/{}/logs/{job}", id(&answer));
    let (_, log) = server.ask("GET", &path, &server.reader, "").await;
    assert_eq!(log, "a line\n");
    server.builder.permits.add_permits(1);
    server.follow(id(&answer), 0).await;
    let (_, log) = server.ask("GET", &path, &server.reader, "").await;
    assert_eq!(log, "the whole log");
    let (status, _) = server
        .ask("GET", &path.replace("lxml", "x"), &server.reader, "")
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_last_who_gives_up_cancels() {
    let server = Server::with(BuildSettings::default()).await;
    let (_, answer) = server.build(&server.secret, "lxml").await;
    server.build(&server.other, "lxml").await;
    let path = format!("/api/builds/{}", id(&answer));
    let (status, _) = server.ask("DELETE", &path, &server.reader, "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = server.ask("DELETE", &path, &server.secret, "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = server.ask("DELETE", &path, &server.secret, "").await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (_, build) = server.ask("GET", &path, &server.reader, "").await;
    assert_ne!(build["state"], "cancelled");
    server.ask("DELETE", &path, &server.other, "").await;
    let events = server.follow(id(&answer), 0).await;
    let end = &events.last().unwrap().1;
    assert_eq!(
        (&end["state"], &end["exit"]),
        (&json!("cancelled"), &json!(130))
    );
    // A new one does not join what is being cancelled.
    let (status, _) = server.build(&server.secret, "lxml").await;
    assert_eq!(status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_queue_is_bounded_and_has_one_turn() {
    let settings = BuildSettings {
        waiting: 2,
        ..BuildSettings::default()
    };
    let server = Server::with(settings).await;
    let (_, first) = server.build(&server.secret, "a0").await;
    let ticket = server.app.builds.as_ref().unwrap();
    let ticket = ticket
        .ticket(&super::BuildId::parse(id(&first)).unwrap())
        .unwrap();
    ticket
        .feed
        .grown()
        .wait_for(|last| *last >= 2)
        .await
        .unwrap();
    for name in ["a1", "a2"] {
        assert_eq!(
            server.build(&server.secret, name).await.0,
            StatusCode::ACCEPTED
        );
    }
    let (status, problem) = server.build(&server.secret, "a3").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(server.builder.begun.load(Ordering::SeqCst), 1);
    // Who asks for what waits already waits with it.
    assert_eq!(server.build(&server.secret, "a2").await.0, StatusCode::OK);
    server.stop.cancel();
    let events = server.follow(id(&first), 0).await;
    assert!(events.len() >= 2);
    let (status, _) = server.build(&server.secret, "a4").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn only_a_token_for_builds_starts_one_and_bad_requests_say_why() {
    let server = Server::with(BuildSettings::default()).await;
    let (status, _) = server.build(&server.reader, "lxml").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let request = Request::post("/api/builds").body(Body::empty()).unwrap();
    let response = Arc::clone(&server.app)
        .router()
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    for body in [
        "",
        "{}",
        "[]",
        r#"{"requirements": ["x @ file:///etc/passwd"]}"#,
        "\u{0}",
    ] {
        let (status, problem) = server
            .ask("POST", "/api/builds", &server.secret, body)
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {problem}");
        assert!(
            problem["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
    }
    let huge = "x".repeat(5 << 20);
    let (status, _) = server
        .ask("POST", "/api/builds", &server.secret, &huge)
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    for path in [
        "/api/builds/x",
        "/api/builds/0123456789abcdef/events",
        "/api/builds/..%2f/logs/x",
    ] {
        let (status, _) = server.ask("GET", path, &server.secret, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(server.builder.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_cannot_be_built_at_all_says_why_and_what_to_do() {
    let server = Server::with(BuildSettings::default()).await;
    let (_, answer) = server.build(&server.secret, "engine").await;
    server.builder.permits.add_permits(1);
    let events = server.follow(id(&answer), 0).await;
    let end = &events.last().unwrap().1;
    assert_eq!(
        (&end["exit"], &end["hint"]),
        (&json!(4), &json!("start it"))
    );
}

#[tokio::test]
async fn what_could_be_built_is_listed_with_what_is_there() {
    let server = Server::with(BuildSettings::default()).await;
    let main = Channel::main();
    let wheel = "lxml-1.0-cp311-cp311-manylinux_2_34_x86_64.whl";
    publish(&server.app.registry, &main, wheel, b"bytes").await;
    let (status, answer) = server
        .ask("GET", "/api/projects/LXML/buildable", &server.reader, "")
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        answer["cells"],
        json!([
            { "cell": CELL, "files": [wheel] },
            { "cell": "cp313-manylinux_2_41_x86_64", "files": [] },
        ])
    );
}

#[tokio::test]
async fn people_see_what_was_asked_for_and_how_far_it_is() {
    let server = Server::with(BuildSettings::default()).await;
    let (_, asked) = server.build(&server.secret, "lxml").await;
    let page = async |path: &str| {
        let (status, body) = server.ask("GET", path, &server.reader, "").await;
        (status, body.as_str().unwrap_or_default().to_owned())
    };
    let address = format!("/builds/{}", id(&asked));
    let (status, list) = page("/builds/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(list.contains(&format!("href=\"{}\"", id(&asked))), "{list}");
    server.builder.permits.add_permits(1);
    server.follow(id(&asked), 0).await;
    let (status, now) = page(&address).await;
    assert_eq!(status, StatusCode::OK);
    let events = format!("data-events=\"../api/builds/{}/events\"", id(&asked));
    assert!(
        now.contains(&events) && now.contains(">done</span>"),
        "{now}"
    );
    assert!(now.contains(&format!("logs/lxml%201.0%20{CELL}")), "{now}");
    let (status, _) = page("/builds/0123456789abcdef").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
