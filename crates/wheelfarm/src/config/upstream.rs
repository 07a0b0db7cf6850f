//! `[index.upstream]`: the index behind the farm's.

use serde::{Deserialize, Serialize};
use wheelfarm_index::registry::Channel;
use wheelfarm_index::{Pin, Pins};

use crate::config::Seconds;

/// `[index.upstream]`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Upstream {
    pub(crate) enabled: Option<bool>,
    pub(crate) url: Option<String>,
    pub(crate) channels: Option<Vec<Channel>>,
    pub(crate) local: Vec<Pinned>,
    #[serde(rename = "upstream")]
    pub(crate) theirs: Vec<Pinned>,
    pub(crate) exclude_newer: Option<Seconds>,
    pub(crate) fresh_for: Option<Seconds>,
}

/// A name, or what names begin with.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Pinned(Pin);

impl TryFrom<String> for Pinned {
    type Error = wheelfarm_index::PinError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Pinned> for String {
    fn from(pinned: Pinned) -> Self {
        pinned.0.to_string()
    }
}

impl Upstream {
    /// Which names are always local, and which always upstream.
    pub(crate) fn pins(&self) -> Pins {
        let pins = |pinned: &[Pinned]| pinned.iter().map(|it| it.0.clone()).collect();
        Pins {
            local: pins(&self.local),
            upstream: pins(&self.theirs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_when_the_file_is_read() {
        let text = "local = ['My.Corp-*', 'x']\nexclude-newer = '7d'\nchannels = ['main']\n";
        let upstream: Upstream = toml::from_str(text).unwrap();
        let names: Vec<String> = upstream.local.iter().cloned().map(String::from).collect();
        assert_eq!(names, ["my-corp-*", "x"]);
        assert_eq!(upstream.exclude_newer.map(Seconds::number), Some(604_800));
        let error = toml::from_str::<Upstream>("local = ['a b']").unwrap_err();
        assert!(error.message().contains("`a b`"), "{error}");
    }
}
