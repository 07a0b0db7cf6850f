//! How a server is set up: values, which the program reads from flags, environment and configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::registry::Channel;
use crate::{TrustedProxies, UpstreamSettings};

/// Settings of a server.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Settings of channels that have none of their own.
    pub default_channel: ChannelSettings,
    /// Settings of channels that have some of their own.
    pub channels: BTreeMap<Channel, ChannelSettings>,
    /// The index that answers for what the farm does not have, if there is one.
    pub upstream: Option<UpstreamSettings>,
    /// Bounds on what clients send.
    pub limits: Limits,
    /// Bounds on how long they take.
    pub timeouts: Timeouts,
    /// Whether `/metrics` needs a token. There are no names of projects in it.
    pub metrics_need_token: bool,
    /// Proxies whose word is taken for who asks.
    pub trusted_proxies: TrustedProxies,
}

/// Settings of one channel.
#[derive(Debug, Clone, Default)]
pub struct ChannelSettings {
    /// Whether reading it needs a token.
    pub private: bool,
    /// Whether wheels that the audit refuses, such as `linux_x86_64` ones, may be uploaded to it.
    pub allows_unportable: bool,
}

/// Bounds on what clients send.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one uploaded file.
    pub file: u64,
    /// Connections at the same time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: 4 << 30,
            connections: 10_000,
        }
    }
}

/// Bounds on how long clients take. What a slow link needs is no fault: only standing still is.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head, and for the handshake of TLS.
    pub head: Duration,
    /// Between requests of a connection.
    pub idle: Duration,
    /// For every few KB of a body that is received or sent.
    pub stalled: Duration,
    /// From the order to stop until what is still under way is cut off.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            stalled: Duration::from_secs(60),
            shutdown: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// The settings that hold for `channel`.
    pub fn channel(&self, channel: &Channel) -> ChannelSettings {
        let own = self.channels.get(channel);
        own.unwrap_or(&self.default_channel).clone()
    }

    /// Whether a token is needed to read some channel, existing or not.
    pub fn any_is_private(&self) -> bool {
        let mut all = self.channels.values().chain([&self.default_channel]);
        all.any(|channel| channel.private)
    }
}
