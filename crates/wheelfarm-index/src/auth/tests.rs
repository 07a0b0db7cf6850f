use std::collections::BTreeSet;

use chrono::DateTime;
use wheelfarm_store::Store;

use super::*;
use crate::Settings;
use crate::registry::testing::commit;
use crate::registry::{Event, Registry};

#[tokio::test]
async fn a_token_that_was_made_elsewhere_is_known_at_once() {
    let store = Store::open("memory:").await.unwrap();
    let now = DateTime::UNIX_EPOCH;
    let server = Registry::open(store.clone()).await.unwrap();
    let app = App::new(server, Settings::default(), None, Arc::new(move || now)).unwrap();
    let scopes = BTreeSet::from([Scope::Write]);
    let (token, secret) =
        Token::generate("ci".to_owned(), scopes, BTreeSet::new(), now, None).unwrap();
    let program = Registry::open(store).await.unwrap();
    let id = token.id.clone();
    commit(&program, Event::TokenCreated { token }).await;
    assert_eq!(identify(&app, &secret).await.unwrap().id, id);
    assert!(identify(&app, "wfarm_guessed").await.is_err());
}

#[test]
fn secrets_are_passwords_or_bearers() {
    let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    assert_eq!(secret_of(&basic("__token__:wfarm_x")).unwrap(), "wfarm_x");
    assert_eq!(secret_of(&basic("me:a:b")).unwrap(), "a:b");
    assert_eq!(secret_of(&basic("me:")).unwrap(), "");
    assert_eq!(secret_of("bearer  wfarm_x").unwrap(), "wfarm_x");
    for bad in ["Basic !", "Digest x", "Basic", &basic("no colon")] {
        assert_eq!(secret_of(bad), None, "{bad}");
    }
}
