//! Tokens: random secrets of which the index keeps digests only.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use wheelfarm_types::Digest;

use crate::registry::Channel;

/// What every secret begins with, so that scanners for leaked secrets can find them.
const PREFIX: &str = "wfarm_";
/// Random bytes in a secret.
const ENTROPY: usize = 32;

/// The public name of a token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenId(String);

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Read pages and files.
    Read,
    /// Upload, yank, delete and set a status; and read.
    Write,
    /// Promote from one channel to another, both of which it is for; and read.
    Promote,
    /// Start builds; and read.
    Build,
}

impl Scope {
    /// What it allows to do, as a verb.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Promote => "promote",
            Self::Build => "build",
        }
    }
}

/// A token as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public name.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret. The secret is random, so nothing slower is needed against guessing.
    pub digest: Digest,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// Where; empty: in all channels.
    #[serde(default)]
    pub channels: BTreeSet<Channel>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// From when on it is not taken any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
}

/// A token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nothing to make it of.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
    /// Another one has its name, also when it was made again.
    #[error("the system's random bytes repeat themselves: there is a token `{0}` already")]
    Taken(TokenId),
}

impl Token {
    /// Makes a token; the second value is its secret, which is nowhere else.
    pub fn generate(
        name: String,
        scopes: BTreeSet<Scope>,
        channels: BTreeSet<Channel>,
        created: DateTime<Utc>,
        expires: Option<DateTime<Utc>>,
    ) -> Result<(Self, String), TokenError> {
        let mut bytes = [0; ENTROPY];
        getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.to_string()))?;
        let secret = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let digest = Digest::of(&secret);
        let token = Self {
            id: TokenId::of(&digest),
            name,
            digest,
            scopes,
            channels,
            created,
            expires,
        };
        Ok((token, secret))
    }

    /// Whether `digest`, of a secret that somebody sent, is this token's. Takes the same time whatever it is.
    pub fn has_secret(&self, digest: &Digest) -> bool {
        self.digest.as_bytes().ct_eq(digest.as_bytes()).into()
    }

    /// Whether it is taken at `now`.
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether it allows `scope` in `channel`. Every token allows reading where it is for.
    pub fn allows(&self, scope: Scope, channel: &Channel) -> bool {
        let here = self.channels.is_empty() || self.channels.contains(channel);
        here && (scope == Scope::Read || self.scopes.contains(&scope))
    }
}

impl TokenId {
    /// The public name of the token with this digest.
    pub(super) fn of(digest: &Digest) -> Self {
        Self(digest.short())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TokenId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_knows_its_secret_and_its_bounds() {
        let staging: Channel = "staging".parse().unwrap();
        let made = DateTime::UNIX_EPOCH;
        let expires = made + chrono::TimeDelta::hours(1);
        let (token, secret) = Token::generate(
            "ci".into(),
            [Scope::Write].into(),
            [staging.clone()].into(),
            made,
            Some(expires),
        )
        .unwrap();
        assert!(token.has_secret(&Digest::of(&secret)));
        assert!(!token.has_secret(&Digest::of("guess")));
        assert!(!serde_json::to_string(&token).unwrap().contains(&secret));
        assert!(token.allows(Scope::Write, &staging) && token.allows(Scope::Read, &staging));
        assert!(!token.allows(Scope::Promote, &staging));
        assert!(!token.allows(Scope::Read, &Channel::main()));
        assert!(token.is_valid(made) && !token.is_valid(expires));
    }
}
