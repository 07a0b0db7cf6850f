//! Who asks, and what they may.
//!
//! A token is a random secret, sent as the password of any user (Basic) or by itself (Bearer). The index finds it by
//! its digest, so that a request costs one hash, whatever the number of tokens.

mod guard;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use wheelfarm_types::Digest;

pub(crate) use self::guard::Guard;
use self::guard::Who;
use crate::registry::{Actor, Channel, Scope, Token};
use crate::server::{Outbox, Visit};
use crate::{App, Problem};

/// Who asks: nobody in particular, or the owner of a token.
///
/// Somebody with a secret that is not known, or not taken any more, is nobody in particular: what everybody may read
/// they may read, and everything else tells them what is wrong with their secret. So a stale line in a netrc file does
/// not keep pip and uv from a public channel.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Their token.
    pub(crate) token: Option<Arc<Token>>,
    /// What is wrong with the secret that they sent instead.
    refusal: Option<Problem>,
    /// The request, as the server's log has it.
    visit: Option<Arc<Visit>>,
}

impl Caller {
    /// Whether they may do `scope` in `channel`; else what to tell them.
    pub(crate) fn may(&self, app: &App, scope: Scope, channel: &Channel) -> Result<(), Problem> {
        let open = scope == Scope::Read && !app.settings.channel(channel).private;
        match &self.token {
            _ if open => Ok(()),
            Some(token) if token.allows(scope, channel) => Ok(()),
            Some(token) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "the token `{}` does not allow to {} in `{channel}`",
                    token.name,
                    scope.as_str()
                ),
            )),
            None => Err(self.refusal.clone().unwrap_or_else(|| {
                Problem::new(
                    StatusCode::UNAUTHORIZED,
                    format!("a token is needed to {} in `{channel}`", scope.as_str()),
                )
                .with_detail("Send it as the password of the user `__token__`.")
            })),
        }
    }

    /// How the connection that they ask over sends files, if it can do it without reading them.
    pub(crate) fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.visit.as_ref()?.outbox.as_ref()
    }

    /// The id of the request in the server's log.
    fn request(&self) -> String {
        let id = self.visit.as_ref().and_then(|it| it.id.to_str().ok());
        id.unwrap_or_default().to_owned()
    }

    /// As whom they stand in the log.
    pub(crate) fn actor(&self) -> Actor {
        match &self.token {
            Some(token) => Actor::Token {
                id: token.id.clone(),
                request: self.request(),
            },
            None => Actor::Server,
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    /// Nobody is refused here: what they ask for decides.
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        // Tests ask without a server around.
        let visit = parts.extensions.get::<Arc<Visit>>();
        Ok(Self::of(&parts.headers, visit, app).await)
    }
}

impl Caller {
    /// Who sent a request with these headers.
    pub(crate) async fn of(headers: &HeaderMap, visit: Option<&Arc<Visit>>, app: &App) -> Self {
        let mut caller = Self {
            token: None,
            refusal: None,
            visit: visit.cloned(),
        };
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return caller;
        };
        match value.to_str().ok().and_then(secret_of) {
            None => {
                caller.refusal = Some(unknown(
                    "the Authorization header is neither Basic nor Bearer",
                ));
            }
            // uv asks for files so, before it asks its keyring.
            Some(secret) if secret.is_empty() => {
                caller.refusal = Some(unknown("the password is empty: it has to be a token"));
            }
            Some(secret) => match identify(app, &secret).await {
                Ok(token) => {
                    if let Some(visit) = visit {
                        visit.is_of(&token.id);
                    }
                    caller.token = Some(token);
                }
                Err((token, refusal)) => {
                    let who = match token {
                        Some(token) => Who::Token(token.id.clone()),
                        None => Who::at(visit.map(|visit| visit.client)),
                    };
                    let limited = app.guard.failed(who, app.now()).err();
                    caller.refusal = Some(limited.unwrap_or(refusal));
                }
            },
        }
        caller
    }
}

/// Whose the secret is; else what to tell them, and the token if it is one that is not taken any more.
async fn identify(app: &App, secret: &str) -> Result<Arc<Token>, (Option<Arc<Token>>, Problem)> {
    let digest = Digest::of(secret);
    let find = || app.registry.read(|state| state.token_of(&digest).cloned());
    let mut found = find();
    if found.is_none() {
        // It may have been made just now, by another process.
        if let Err(error) = app.registry.refresh().await {
            tracing::warn!(%error, "new tokens could not be looked for");
        }
        found = find();
    }
    match found {
        Some(token) if token.is_valid(app.now()) => Ok(token),
        Some(token) => {
            let problem = unknown(&format!("the token `{}` has expired", token.name));
            Err((Some(token), problem))
        }
        None => Err((None, unknown("the token is not known"))),
    }
}

fn unknown(title: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, title)
        .with_detail("`wheelfarm token create` makes tokens, `wheelfarm token list` lists them.")
}

/// The secret in an `Authorization` header: of Basic the password, whoever the user is; of Bearer the whole.
fn secret_of(header: &str) -> Option<String> {
    let (scheme, value) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
    let (_, password) = decoded.split_once(':')?;
    Some(password.to_owned())
}

#[cfg(test)]
mod tests;
