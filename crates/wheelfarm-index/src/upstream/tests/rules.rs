use std::time::Duration;

use wheelfarm_resolve::{Credential, IndexSettings};

use super::fake::{Fake, address, entry};
use super::{Server, bytes, memory};
use crate::registry::testing::publish;
use crate::registry::{Channel, Registry};
use crate::upstream::{UpstreamSettings, page};

const WHEEL: &str = "x-1.0-py3-none-any.whl";

fn settings(fake: &Fake) -> UpstreamSettings {
    UpstreamSettings::new(fake.index(), IndexSettings::default())
}

#[tokio::test]
async fn a_name_of_ours_is_never_looked_up() {
    let fake = Fake::start().await;
    let theirs = fake.with("x-9.0-py3-none-any.whl", b"theirs");
    let store = memory().await;
    let registry = Registry::open(store.clone()).await.unwrap();
    let staging: Channel = "staging".parse().unwrap();
    publish(&registry, &Channel::main(), WHEEL, b"ours").await;
    publish(&registry, &staging, "y-1-py3-none-any.whl", b"y").await;
    let server = Server::start(&store, &fake.index()).await;
    let page = server.page("x").await;
    assert_eq!(page["files"].as_array().unwrap().len(), 1);
    assert_eq!(page["files"][0]["filename"], WHEEL);
    assert_eq!(server.get(&theirs).await.status(), 404);
    // In any channel, since what is in one today is promoted to another tomorrow.
    fake.with("y-9-py3-none-any.whl", b"theirs");
    assert_eq!(server.get("/simple/y/").await.status(), 404);
    // The name that counts is the normalised one.
    let answer = server.get("/simple/X/").await;
    assert_eq!(answer.status(), 301);
    assert_eq!(fake.requests(), 0);
}

#[tokio::test]
async fn pins_decide_before_anything_else() {
    let fake = Fake::start().await;
    for name in ["x-9-py3-none-any.whl", "corp_y-9-py3-none-any.whl"] {
        fake.with(name, b"theirs");
    }
    let store = memory().await;
    let registry = Registry::open(store.clone()).await.unwrap();
    publish(&registry, &Channel::main(), WHEEL, b"ours").await;
    let mut settings = settings(&fake);
    settings.pins.local = vec!["corp-*".parse().unwrap()];
    settings.pins.upstream = vec!["x".parse().unwrap()];
    let server = Server::with(&store, settings).await;
    assert_eq!(server.get("/simple/corp-y/").await.status(), 404);
    assert_eq!(fake.requests(), 0);
    let page = server.page("x").await;
    // Files of two origins are never on one page.
    assert_eq!(page["files"].as_array().unwrap().len(), 1);
    assert_eq!(page["files"][0]["filename"], "x-9-py3-none-any.whl");
}

#[tokio::test]
async fn only_channels_that_say_so_fall_back() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"theirs");
    let store = memory().await;
    let registry = Registry::open(store.clone()).await.unwrap();
    let staging: Channel = "staging".parse().unwrap();
    publish(&registry, &staging, "y-1-py3-none-any.whl", b"y").await;
    let server = Server::start(&store, &fake.index()).await;
    assert_eq!(server.get("/staging/simple/x/").await.status(), 404);
    assert_eq!(fake.requests(), 0);
    let mut settings = settings(&fake);
    settings.channels = [staging].into();
    let server = Server::with(&store, settings).await;
    assert_eq!(server.get("/staging/simple/x/").await.status(), 200);
    assert_eq!(server.get("/simple/x/").await.status(), 404);
    assert_eq!(bytes(server.get(&file).await).await, b"theirs");
}

#[tokio::test]
async fn a_blob_of_ours_is_not_given_because_a_page_there_names_its_digest() {
    let fake = Fake::start().await;
    let store = memory().await;
    store.put("secret".into()).await.unwrap();
    fake.project("x", &[entry(WHEEL, b"secret")]);
    let server = Server::start(&store, &fake.index()).await;
    let answer = server.get(&address(WHEEL, b"secret")).await;
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_cool_down_hides_what_is_young_until_it_is_not() {
    let fake = Fake::start().await;
    // Of the 25th; it is the 1st.
    fake.with(WHEEL, b"wheel");
    let mut settings = settings(&fake);
    settings.cool_down = Some(Duration::from_secs(10 * 86_400));
    let server = Server::with(&memory().await, settings).await;
    assert_eq!(server.page("x").await["files"].as_array().unwrap().len(), 0);
    server.later(3 * 86_400);
    assert_eq!(server.page("x").await["files"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_upload_does_not_take_the_place_of_what_was_served_from_there() {
    let fake = Fake::start().await;
    fake.with(WHEEL, b"theirs");
    let store = memory().await;
    let registry = Registry::open(store.clone()).await.unwrap();
    publish(&registry, &Channel::main(), "ours-1-py3-none-any.whl", b"o").await;
    let mut settings = settings(&fake);
    settings.pins.local = vec!["mine".parse().unwrap()];
    settings.pins.upstream = vec!["requests".parse().unwrap()];
    let server = Server::with(&store, settings.clone()).await;
    let refused = async |server: &Server, channel: &Channel, project: &str| {
        let upstream = server.app.upstream.as_ref().unwrap();
        let project = project.parse().unwrap();
        let checked = upstream.check_upload(&server.app, channel, &project).await;
        checked.err().map(|problem| problem.status.as_u16())
    };
    let main = Channel::main();
    assert_eq!(refused(&server, &main, "x").await, None);
    server.page("x").await;
    // Nor after a restart.
    settings.pins.local.push("y".parse().unwrap());
    let again = Server::with(&store, settings.clone()).await;
    for server in [&server, &again] {
        assert_eq!(refused(server, &main, "x").await, Some(403));
        assert_eq!(refused(server, &main, "requests").await, Some(403));
        for project in ["ours", "mine", "never-heard-of"] {
            assert_eq!(refused(server, &main, project).await, None, "{project}");
        }
        let staging = "staging".parse().unwrap();
        assert_eq!(refused(server, &staging, "x").await, None);
    }
    settings.pins.local.push("x".parse().unwrap());
    let pinned = Server::with(&store, settings).await;
    assert_eq!(refused(&pinned, &main, "x").await, None);
}

#[tokio::test]
async fn credentials_go_to_their_host_alone() {
    let fake = Fake::start().await;
    let other = Fake::start().await;
    fake.with(WHEEL, b"wheel");
    let there = other.url("/wheel");
    fake.reply(&format!("/pool/{WHEEL}"), move |_| {
        axum::response::IntoResponse::into_response(axum::response::Redirect::temporary(&there))
    });
    other.file("/wheel", b"wheel");
    let host = fake.url("").replace("http://", "");
    let mut settings = settings(&fake);
    settings.url = settings.url.replace("http://", "http://me:secret@");
    settings.access.credentials = vec![Credential {
        host,
        user: "me".into(),
        password: "secret".into(),
    }];
    let store = memory().await;
    let server = Server::with(&store, settings).await;
    let file = server.get(&address(WHEEL, b"wheel")).await;
    assert_eq!(bytes(file).await, b"wheel");
    assert!(fake.last("/simple/x/").contains_key("authorization"));
    let pool = format!("/pool/{WHEEL}");
    assert!(fake.last(&pool).contains_key("authorization"));
    assert!(!other.last("/wheel").contains_key("authorization"));
    // Nothing that is kept has them.
    let app = &server.app;
    let (project, none) = ("x".parse().unwrap(), http::HeaderMap::new());
    let found = page(app, &Channel::main(), &project, &none).await;
    let found = found.unwrap().unwrap();
    assert!(!found.found.all.files[0].url.contains("secret"));
}
