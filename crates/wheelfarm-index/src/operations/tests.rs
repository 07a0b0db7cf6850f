use std::sync::Arc;

use axum::body::Body;
use chrono::{DateTime, TimeDelta, Utc};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::registry::testing::{commit, publish, registry};
use crate::registry::{Event, Origin, PublishedFile, Scope, Status, Token};
use crate::{App, ChannelSettings, Settings};

const WHEEL: &str = "x-1.0-py3-none-any.whl";
const OTHER: &str = "x-1.0-cp311-cp311-manylinux_2_34_x86_64.whl";

fn staging() -> Channel {
    "staging".parse().unwrap()
}

fn later() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(1)
}

fn version(text: &str) -> Selection {
    Selection {
        project: "x".parse().unwrap(),
        which: Which::Version(text.parse().unwrap()),
    }
}

fn file(name: &str) -> Selection {
    Selection {
        which: Which::File(name.to_owned()),
        ..version("1.0")
    }
}

fn promote(what: Selection) -> Operation {
    Operation::Promote {
        from: staging(),
        to: Channel::main(),
        what,
    }
}

fn delete(channel: Channel, what: Selection) -> Operation {
    Operation::Delete { channel, what }
}

async fn run(registry: &Registry, operation: Operation) -> Result<Outcome, Problem> {
    let settings = Settings::default();
    perform(registry, &settings, &Actor::Operator, later(), &operation).await
}

fn in_main(registry: &Registry, name: &str) -> Option<(PublishedFile, bool)> {
    registry.read(|state| {
        let file = state.file(&Channel::main(), &"x".parse().unwrap(), name)?;
        Some(((*file.published).clone(), file.yanked.is_some()))
    })
}

#[tokio::test]
async fn a_version_is_promoted_as_a_whole_and_by_pointer() {
    let registry = registry().await;
    let staged = publish(&registry, &staging(), WHEEL, b"one").await;
    publish(&registry, &staging(), OTHER, b"two").await;
    publish(&registry, &staging(), "x-2.0-py3-none-any.whl", b"three").await;
    let before = registry.read(|state| state.number);
    let outcome = run(&registry, promote(version("1.0"))).await.unwrap();
    assert_eq!(outcome.changed, [OTHER, WHEEL]);
    // One entry of the log: all of it is there, or nothing.
    assert_eq!(registry.read(|state| state.number), before + 1);
    let (promoted, _) = in_main(&registry, WHEEL).unwrap();
    let expected = PublishedFile {
        uploaded: later(),
        origin: Origin::Promoted { from: staging() },
        ..staged
    };
    assert_eq!(promoted, expected);
    assert!(in_main(&registry, "x-2.0-py3-none-any.whl").is_none());
    // Again: nothing to do, nothing written.
    let again = run(&registry, promote(version("1"))).await.unwrap();
    assert_eq!(again.unchanged, [OTHER, WHEEL]);
    assert_eq!(registry.read(|state| state.number), before + 1);
}

#[tokio::test]
async fn a_name_that_means_other_bytes_is_in_the_way() {
    let registry = registry().await;
    let main = Channel::main();
    publish(&registry, &staging(), WHEEL, b"new").await;
    publish(&registry, &staging(), OTHER, b"other").await;
    publish(&registry, &main, WHEEL, b"old").await;
    let refused = run(&registry, promote(version("1.0"))).await.unwrap_err();
    assert_eq!(refused.status, 409);
    assert!(refused.title.contains("File already exists"), "{refused:?}");
    assert!(in_main(&registry, OTHER).is_none(), "half of it was done");
    // Deleted there: the name is used up.
    run(&registry, delete(main.clone(), file(WHEEL)))
        .await
        .unwrap();
    let refused = run(&registry, promote(file(WHEEL))).await.unwrap_err();
    assert_eq!(refused.status, 409);
    assert!(refused.title.contains("deleted"), "{refused:?}");
    run(&registry, promote(file(OTHER))).await.unwrap();
    // The same bytes may come back.
    run(&registry, delete(main, file(OTHER))).await.unwrap();
    run(&registry, promote(file(OTHER))).await.unwrap();
    assert!(in_main(&registry, OTHER).is_some());
}

#[tokio::test]
async fn what_must_not_be_promoted_stays() {
    let registry = registry().await;
    let local = "x-3.0-cp311-cp311-linux_x86_64.whl";
    publish(&registry, &staging(), local, b"local").await;
    publish(&registry, &staging(), WHEEL, b"x").await;
    let yank = Operation::Yank {
        channel: staging(),
        what: file(WHEEL),
        reason: None,
    };
    run(&registry, yank).await.unwrap();
    for (what, word) in [
        (file(WHEEL), "yanked"),
        (file(local), "which systems"),
        (version("9"), "not in the channel"),
        (file("y"), "not in the channel"),
    ] {
        let refused = run(&registry, promote(what)).await.unwrap_err();
        assert!(refused.title.contains(word), "{refused:?}");
    }
    let mut settings = Settings::default();
    let open = ChannelSettings {
        allows_unportable: true,
        ..ChannelSettings::default()
    };
    settings.channels.insert(Channel::main(), open);
    let local = promote(file(local));
    let done = perform(&registry, &settings, &Actor::Operator, later(), &local).await;
    assert_eq!(done.unwrap().changed.len(), 1);
    let same = Operation::Promote {
        from: staging(),
        to: staging(),
        what: file(WHEEL),
    };
    assert_eq!(run(&registry, same).await.unwrap_err().status, 400);
    for (status, word) in [
        (Status::Quarantined, "quarantined"),
        (Status::Archived, "archived"),
    ] {
        let status = ProjectStatus {
            status,
            reason: None,
        };
        let set = Operation::SetStatus {
            channel: staging(),
            project: "x".parse().unwrap(),
            status,
        };
        run(&registry, set).await.unwrap();
        let refused = run(&registry, promote(version("1.0"))).await.unwrap_err();
        assert!(refused.title.contains(word), "{refused:?}");
    }
}

#[tokio::test]
async fn a_release_is_yanked_with_a_reason_and_unyanked() {
    let registry = registry().await;
    let main = Channel::main();
    publish(&registry, &main, WHEEL, b"one").await;
    publish(&registry, &main, OTHER, b"two").await;
    let yank = |reason: &str| Operation::Yank {
        channel: Channel::main(),
        what: version("1.0.0"),
        reason: Some(reason.to_owned()),
    };
    let outcome = run(&registry, yank(" broken ")).await.unwrap();
    assert_eq!(outcome.changed, [OTHER, WHEEL]);
    assert_eq!(
        run(&registry, yank("broken"))
            .await
            .unwrap()
            .unchanged
            .len(),
        2
    );
    assert_eq!(
        run(&registry, yank("worse")).await.unwrap().changed.len(),
        2
    );
    for bad in ["two\nlines", &"x".repeat(1001)] {
        assert_eq!(run(&registry, yank(bad)).await.unwrap_err().status, 400);
    }
    let unyank = Operation::Unyank {
        channel: main,
        what: file(WHEEL),
    };
    run(&registry, unyank).await.unwrap();
    assert!(!in_main(&registry, WHEEL).unwrap().1);
    assert!(in_main(&registry, OTHER).unwrap().1);
}

#[tokio::test]
async fn deleting_twice_is_deleting() {
    let registry = registry().await;
    publish(&registry, &Channel::main(), WHEEL, b"one").await;
    let gone = delete(Channel::main(), file(WHEEL));
    assert_eq!(run(&registry, gone.clone()).await.unwrap().changed, [WHEEL]);
    assert_eq!(run(&registry, gone).await.unwrap().unchanged, [WHEEL]);
    let version = delete(Channel::main(), version("1.0"));
    assert_eq!(run(&registry, version).await.unwrap_err().status, 404);
}

/// An application with a wheel in `staging`, and secrets of tokens with these scopes, for all channels but the last,
/// which is for `main`.
async fn served(scopes: &[Scope]) -> (Arc<App>, Vec<String>) {
    let registry = registry().await;
    publish(&registry, &staging(), WHEEL, b"one").await;
    let mut secrets = Vec::new();
    for (index, scope) in scopes.iter().enumerate() {
        let channels = if index + 1 == scopes.len() {
            [Channel::main()].into()
        } else {
            [].into()
        };
        let now = DateTime::UNIX_EPOCH;
        let (token, secret) =
            Token::generate("t".into(), [*scope].into(), channels, now, None).unwrap();
        commit(&registry, Event::TokenCreated { token }).await;
        secrets.push(secret);
    }
    let app = App::new(registry, Settings::default(), None, Arc::new(later)).unwrap();
    (app, secrets)
}

async fn post(app: &Arc<App>, path: &str, secret: Option<&str>, body: &Value) -> (u16, Value) {
    let mut request = Request::post(path).header("content-type", "application/json");
    if let Some(secret) = secret {
        request = request.header("authorization", format!("Bearer {secret}"));
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = app.clone().router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn clients_need_a_token_for_what_they_do() {
    let (app, secrets) = served(&[Scope::Promote, Scope::Write, Scope::Promote]).await;
    let [promote, write, only_main] = &secrets[..] else {
        panic!()
    };
    let ask = json!({"from": "staging", "project": "X", "version": "1.0"});
    let path = "/api/promote";
    assert_eq!(post(&app, path, None, &ask).await.0, 401);
    assert_eq!(post(&app, path, Some(write), &ask).await.0, 403);
    assert_eq!(post(&app, path, Some(only_main), &ask).await.0, 403);
    let (status, answer) = post(&app, path, Some(promote), &ask).await;
    assert_eq!((status, &answer["changed"]), (200, &json!([WHEEL])));
    let ask = json!({"project": "x", "file": WHEEL, "reason": "broken"});
    assert_eq!(post(&app, "/api/yank", Some(promote), &ask).await.0, 403);
    assert_eq!(post(&app, "/api/yank", Some(write), &ask).await.0, 200);
    assert!(in_main(&app.registry, WHEEL).unwrap().1);
    let ask = json!({"project": "x", "file": WHEEL});
    assert_eq!(post(&app, "/api/unyank", Some(write), &ask).await.0, 200);
    assert_eq!(post(&app, "/api/delete", Some(write), &ask).await.0, 200);
    let ask = json!({"project": "x", "status": "archived", "reason": "use y"});
    assert_eq!(post(&app, "/api/status", Some(write), &ask).await.0, 200);
    app.registry.read(|state| {
        let project = state.project(&Channel::main(), &"x".parse().unwrap());
        assert_eq!(project.unwrap().status.status, Status::Archived);
    });
}

#[tokio::test]
async fn what_makes_no_sense_is_said_so() {
    let (app, secrets) = served(&[Scope::Write, Scope::Write]).await;
    let secret = Some(secrets[0].as_str());
    for (path, body, status) in [
        ("/api/yank", json!({"project": "x"}), 400),
        (
            "/api/yank",
            json!({"project": "x", "version": "1", "file": "y"}),
            400,
        ),
        ("/api/yank", json!({"project": "x", "version": "one"}), 400),
        ("/api/yank", json!({"project": "-", "version": "1"}), 400),
        (
            "/api/yank",
            json!({"project": "x", "version": "1", "channel": "Simple"}),
            400,
        ),
        (
            "/api/yank",
            json!({"project": "x", "version": "1", "becuase": "x"}),
            400,
        ),
        ("/api/yank", json!([]), 400),
        ("/api/yank", json!({"project": "x", "version": "1"}), 404),
        (
            "/api/yank",
            json!({"project": "x", "version": "1", "channel": "staging"}),
            200,
        ),
        ("/api/status", json!({"project": "x", "status": "odd"}), 400),
        (
            "/api/status",
            json!({"project": "nobody", "status": "active"}),
            404,
        ),
        (
            "/api/yank",
            json!({"project": "x", "version": "1", "reason": "x".repeat(100_000)}),
            413,
        ),
    ] {
        let (found, answer) = post(&app, path, secret, &body).await;
        assert_eq!(found, status, "{path} {body}: {answer}");
        if status != 200 {
            assert!(
                answer["title"].as_str().is_some_and(|it| it.len() > 10),
                "{answer}"
            );
        }
    }
    // As the form of another site would send it.
    let request = Request::post("/api/delete")
        .header("content-type", "text/plain")
        .header("authorization", format!("Bearer {}", secrets[0]))
        .body(Body::from(
            json!({"project": "x", "file": WHEEL}).to_string(),
        ))
        .unwrap();
    let response = app.router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 415);
}
