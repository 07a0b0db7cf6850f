//! Identity tokens: what Docker keeps instead of a password where a registry gives one out at login. It buys a token with
//! which one image can be pulled for a while
//! ([OAuth2 of registries](https://distribution.github.io/distribution/spec/auth/oauth/)).

use oci_client::Reference;
use serde::Deserialize;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};

use super::reach::Reach;
use super::registry::chain;
use crate::error::{Result, hinted};

#[derive(Deserialize)]
struct Bought {
    access_token: String,
}

/// The token for pulling `reference` that `identity` buys.
pub(super) async fn exchange(
    reach: &Reach,
    reference: &Reference,
    identity: &str,
) -> Result<String> {
    let registry = reference.resolve_registry();
    let no_answer = |source: reqwest::Error| {
        failed(
            ExecutorErrorKind::RegistryUnavailable,
            registry,
            &chain(&source.without_url()),
        )
    };
    let refused = |reason: &str| failed(ExecutorErrorKind::ImageUnavailable, registry, reason);
    let client = reach.for_tokens().map_err(no_answer)?;
    let address = format!("{}://{registry}/v2/", reach.scheme());
    let asked = client.get(address).send().await.map_err(no_answer)?;
    let challenge = asked
        .headers()
        .get_all(reqwest::header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find(|value| value.to_ascii_lowercase().starts_with("bearer "))
        .ok_or_else(|| refused("it does not say who gives out tokens for it"))?;
    let realm = parameter(challenge, "realm").unwrap_or_default();
    // What buys tokens is not said in the clear.
    if !realm.starts_with("https://") && reach.scheme() == "https" {
        return Err(refused("tokens for it are given out without encryption"));
    }
    let scope = format!("repository:{}:pull", reference.repository());
    let form = [
        ("grant_type", "refresh_token"),
        (
            "service",
            parameter(challenge, "service").unwrap_or_default(),
        ),
        ("client_id", "wheelfarm"),
        ("scope", &scope),
        ("refresh_token", identity),
    ];
    let answer = client.post(realm).form(&form).send().await;
    let answer = answer.map_err(no_answer)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(refused(&format!(
            "it is answered with HTTP {}",
            status.as_u16()
        )));
    }
    let body = answer.bytes().await.map_err(no_answer)?;
    // What it is holds a secret, and is not repeated.
    let bought: Bought =
        serde_json::from_slice(&body).map_err(|_| refused("something else comes back"))?;
    Ok(bought.access_token)
}

fn failed(kind: ExecutorErrorKind, registry: &str, reason: &str) -> ExecutorError {
    hinted(
        kind,
        format!("the identity token that Docker has for {registry} buys nothing: {reason}"),
        format!("Log in again: `docker login {registry}`."),
    )
}

/// A quoted parameter of a challenge: `Bearer realm="https://...",service="..."`.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_quoted() {
        let challenge = r#"Bearer realm="https://a/t",service="b,c""#;
        assert_eq!(parameter(challenge, "realm"), Some("https://a/t"));
        assert_eq!(parameter(challenge, "service"), Some("b,c"));
        assert_eq!(parameter(challenge, "scope"), None);
    }
}
