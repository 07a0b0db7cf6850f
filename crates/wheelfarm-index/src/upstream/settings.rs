//! How the index behind this one was set up.

use std::collections::BTreeSet;
use std::time::Duration;

use wheelfarm_resolve::IndexSettings;

use super::Pins;
use crate::registry::Channel;

/// Settings of the index behind this one.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// Its address: what pip calls `index-url`. Credentials in it are not sent: they stand in `access`.
    pub url: String,
    /// Authorities, proxy and credentials.
    pub access: IndexSettings,
    /// The channels that fall back to it.
    pub channels: BTreeSet<Channel>,
    /// Which names are always local, and which always upstream.
    pub pins: Pins,
    /// Files that were uploaded there more recently than this are hidden.
    pub cool_down: Option<Duration>,
    /// How long a page is answered from without asking whether it changed.
    pub fresh_for: Duration,
    /// Bounds on what it sends, and on how long it may take.
    pub limits: UpstreamLimits,
}

/// Bounds on what the index behind this one sends, and on how long it may take.
#[derive(Debug, Clone)]
pub struct UpstreamLimits {
    /// Bytes of a project page.
    pub page: usize,
    /// Bytes of a file.
    pub file: u64,
    /// Files that are fetched at the same time.
    pub transfers: usize,
    /// Until a connection stands. Clients themselves give up after about 15 seconds.
    pub connect: Duration,
    /// Until an answer begins.
    pub answer: Duration,
    /// Between two pieces of an answer.
    pub pause: Duration,
    /// For how long it is not asked again once it could not be reached.
    pub rest: Duration,
}

impl UpstreamSettings {
    /// The settings that hold where nothing else is said: the channel `main` falls back to `url`.
    pub fn new(url: impl Into<String>, access: IndexSettings) -> Self {
        Self {
            url: url.into(),
            access,
            channels: BTreeSet::from([Channel::main()]),
            pins: Pins::default(),
            cool_down: None,
            fresh_for: Duration::from_secs(600),
            limits: UpstreamLimits::default(),
        }
    }
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            page: 64 << 20,
            file: 4 << 30,
            transfers: 32,
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            pause: Duration::from_secs(30),
            rest: Duration::from_secs(5),
        }
    }
}
