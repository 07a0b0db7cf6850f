//! Channels: sets of files that are published and read by themselves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// First segments of addresses that are no channels.
const RESERVED: [&str; 14] = [
    "api", "assets", "builds", "files", "healthz", "legacy", "login", "metrics", "pages",
    "projects", "readyz", "simple", "stale", "static",
];

/// The name of a channel. [`Channel::main`] is served at `/simple/`, another at `/<name>/simple/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Channel(String);

/// A text that is no name of a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be a channel: use up to 40 lower-case letters, digits and single dashes, and none of the server's own addresses"
)]
pub struct ChannelError(String);

impl Channel {
    /// The channel that is served at `/simple/`.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// Whether this is the channel at `/simple/`.
    pub fn is_main(&self) -> bool {
        self.0 == "main"
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands in front of `/simple/` and `/legacy/`: nothing, or a slash and the name.
    pub fn prefix(&self) -> String {
        if self.is_main() {
            String::new()
        } else {
            format!("/{}", self.0)
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, ChannelError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = !text.is_empty()
            && text.len() <= 40
            && text.bytes().all(plain)
            && !text.starts_with('-')
            && !text.ends_with('-')
            && !text.contains("--")
            && !RESERVED.contains(&text);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(ChannelError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Channel {
    type Error = ChannelError;

    fn try_from(text: String) -> Result<Self, ChannelError> {
        text.parse()
    }
}

impl From<Channel> for String {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_segments_of_addresses() {
        let staging: Channel = "staging".parse().unwrap();
        assert_eq!(staging.prefix(), "/staging");
        assert_eq!(Channel::main().prefix(), "");
        let long = "x".repeat(41);
        for bad in [
            "",
            "simple",
            "a/b",
            "A",
            "-a",
            "a-",
            "a--b",
            "é",
            "..",
            long.as_str(),
        ] {
            assert!(bad.parse::<Channel>().is_err(), "{bad}");
        }
    }
}
