//! `wheelfarm token`.

use std::collections::BTreeSet;

use serde_json::json;
use wheelfarm_index::registry::{
    Actor, CommitError, Event, Registry, Scope, Token, TokenError, TokenId,
};

use crate::cli::serve::{TokenArgs, TokenCommand};
use crate::cli::{Format, GlobalArgs};
use crate::config::Config;
use crate::environment::clock;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings::Places;

pub(crate) async fn run(
    global: &GlobalArgs,
    args: TokenArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let registry = Registry::open(Places::open(global, &config).await?.store).await?;
    match args.command {
        TokenCommand::Create {
            scope,
            channel,
            name,
            expires,
        } => {
            let now = clock();
            let expires = expires.map(|time| {
                let seconds = i64::try_from(time.number()).unwrap_or(i64::MAX / 1000);
                now + chrono::TimeDelta::seconds(seconds)
            });
            let scopes = scope.into_iter().map(Scope::from).collect();
            let channels = channel.into_iter().collect();
            let (scopes, channels): (BTreeSet<_>, BTreeSet<_>) = (scopes, channels);
            let created = registry.create_token(&Actor::Operator, now, || {
                let (name, scopes) = (name.clone(), scopes.clone());
                Token::generate(name, scopes, channels.clone(), now, expires)
            });
            let (id, secret) = created.await.map_err(uncreated)?;
            printer.note(format_args!(
                "token {id}; its secret is shown this once: use it as password of the user `__token__`"
            ));
            printer.result(secret);
        }
        TokenCommand::List => list(global, &registry, printer),
        TokenCommand::Revoke { id } => {
            let id = TokenId::from(id.as_str());
            registry
                .commit(&Actor::Operator, clock(), |state| match state.token(&id) {
                    Some(_) => Ok((vec![Event::TokenRevoked { id: id.clone() }], ())),
                    None => Err(unknown(&id)),
                })
                .await
                .map_err(|error| match error {
                    CommitError::Refused(failure) => failure,
                    CommitError::Store(error) => error.into(),
                })?;
        }
    }
    Ok(Exit::Ok)
}

fn list(global: &GlobalArgs, registry: &Registry, printer: Printer) {
    let tokens: Vec<_> = registry.read(|state| state.tokens().cloned().collect());
    for token in &tokens {
        // What serde writes of a scope is its word.
        let words = |value: serde_json::Value| match value {
            serde_json::Value::Array(words) => words
                .iter()
                .filter_map(|word| word.as_str())
                .collect::<Vec<_>>()
                .join(","),
            _ => String::new(),
        };
        if global.format == Format::Json {
            printer.result(json!({
                "id": token.id, "name": token.name, "scopes": token.scopes,
                "channels": token.channels, "created": token.created, "expires": token.expires,
            }));
        } else {
            let channels = words(json!(token.channels));
            printer.result(format_args!(
                "{}  {}  {}  {}  {}",
                token.id,
                words(json!(token.scopes)),
                if channels.is_empty() {
                    "all channels"
                } else {
                    &channels
                },
                token.expires.map_or("for ever".to_owned(), |at| format!(
                    "until {}",
                    at.format("%Y-%m-%d %H:%M UTC")
                )),
                token.name,
            ));
        }
    }
}

fn unknown(id: &TokenId) -> Failure {
    Failure::usage(format!("there is no token `{id}`"))
        .with_hint(Some("`wheelfarm token list` lists them".to_owned()))
}

fn uncreated(error: CommitError<TokenError>) -> Failure {
    match error {
        CommitError::Refused(error) => Failure::machine(error.to_string()),
        CommitError::Store(error) => error.into(),
    }
}
