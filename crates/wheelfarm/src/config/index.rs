//! `[index]`: how `wheelfarm serve` is set up.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use wheelfarm_index::registry::Channel;
use wheelfarm_index::{ChannelSettings, Limits, Network, Settings, TrustedProxies};
use wheelfarm_types::ProjectName;

use crate::config::Upstream;
use crate::config::values::Size;

/// `[index]`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Index {
    pub(crate) anonymous_read: Option<bool>,
    pub(crate) channel: BTreeMap<Channel, IndexChannel>,
    pub(crate) upstream: Upstream,
    pub(crate) builds: IndexBuilds,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) max_file: Option<Size>,
}

/// `[index.builds]`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct IndexBuilds {
    pub(crate) on_demand: Vec<ProjectName>,
    pub(crate) at_once: Option<NonZeroUsize>,
    pub(crate) direct_urls: bool,
}

/// `[index.channel.NAME]`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct IndexChannel {
    pub(crate) private: Option<bool>,
    pub(crate) allow_unportable: bool,
}

impl Index {
    /// The server's settings.
    pub(crate) fn settings(&self) -> Settings {
        let default_channel = ChannelSettings {
            private: !self.anonymous_read.unwrap_or(true),
            ..ChannelSettings::default()
        };
        let channels = self.channel.iter().map(|(name, channel)| {
            let settings = ChannelSettings {
                private: channel.private.unwrap_or(default_channel.private),
                allows_unportable: channel.allow_unportable,
            };
            (name.clone(), settings)
        });
        let mut limits = Limits::default();
        if let Some(size) = self.max_file {
            limits.file = size.bytes();
        }
        Settings {
            limits,
            channels: channels.collect(),
            default_channel: default_channel.clone(),
            trusted_proxies: TrustedProxies::new(self.trusted_proxies.iter().copied()),
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_has_settings_of_its_own_or_those_of_all() {
        let text = "
            anonymous-read = false
            [channel.main]
            private = false
            [channel.staging]
            allow-unportable = true
        ";
        let settings = toml::from_str::<Index>(text).unwrap().settings();
        let of = |name: &str| {
            let channel = settings.channel(&name.parse().unwrap());
            (channel.private, channel.allows_unportable)
        };
        assert_eq!(of("main"), (false, false));
        assert_eq!(of("staging"), (true, true));
        assert_eq!(of("other"), (true, false));
        assert!(settings.any_is_private());
        let settings = toml::from_str::<Index>("").unwrap().settings();
        assert!(!settings.any_is_private());
        let error = toml::from_str::<Index>("trusted-proxies = [\"10.0.0.0/64\"]").unwrap_err();
        assert!(error.to_string().contains("`10.0.0.0/64` is neither"));
        let error = toml::from_str::<Index>("[channel.Files]\n").unwrap_err();
        assert!(error.to_string().contains("`Files` cannot be a channel"));
    }
}
