//! Arguments of `wheelfarm serve` about connections, TLS and its log.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use wheelfarm_index::Network;

use crate::config::Seconds;

/// How the server talks.
#[derive(Debug, Args)]
pub(crate) struct TransportArgs {
    /// Serve HTTPS with this certificate, in PEM, those that signed it behind it; read again when it changes
    #[arg(
        long,
        env = "WHEELFARM_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(
        long,
        env = "WHEELFARM_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub(crate) tls_key: Option<PathBuf>,
    /// Connections at the same time; more wait until there is room
    #[arg(
        long,
        env = "WHEELFARM_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..)
    )]
    pub(crate) max_connections: usize,
    /// Close a connection on which a body has not moved for so long; slow is fine, standing still is not
    #[arg(
        long,
        env = "WHEELFARM_STALL_TIMEOUT",
        value_name = "TIME",
        default_value = "60s"
    )]
    pub(crate) stall_timeout: Seconds,
    /// Close a connection if the head of a request takes longer
    #[arg(
        long,
        env = "WHEELFARM_HEAD_TIMEOUT",
        value_name = "TIME",
        default_value = "15s"
    )]
    pub(crate) head_timeout: Seconds,
    /// Close a connection that waits for its next request for so long
    #[arg(
        long,
        env = "WHEELFARM_IDLE_TIMEOUT",
        value_name = "TIME",
        default_value = "75s"
    )]
    pub(crate) idle_timeout: Seconds,
    /// When asked to stop, cut off what is still under way after so long
    #[arg(
        long,
        env = "WHEELFARM_SHUTDOWN_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    pub(crate) shutdown_timeout: Seconds,
    /// Proxies whose `X-Forwarded-For`, `Forwarded` and so on are believed: `127.0.0.1`, `10.0.0.0/8`; can be repeated
    /// [default: those of the configuration]
    #[arg(
        long,
        env = "WHEELFARM_TRUSTED_PROXY",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    pub(crate) trusted_proxy: Vec<Network>,
    /// `/metrics` needs a token
    #[arg(long, env = "WHEELFARM_PRIVATE_METRICS")]
    pub(crate) private_metrics: bool,
    /// Form of the log on stderr
    #[arg(
        long,
        env = "WHEELFARM_LOG_FORMAT",
        value_name = "FORM",
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
    /// What is logged: `error`, `warn`, `info` (writes and failures), `debug` (every request), `trace`
    #[arg(
        long,
        env = "WHEELFARM_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub(crate) log_level: LogLevel,
}

/// Form of the server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

/// What the server logs: this and what is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
