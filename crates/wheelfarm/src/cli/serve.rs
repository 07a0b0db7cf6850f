//! Arguments of the commands around the index.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use wheelfarm_index::registry::{Channel, Scope};

use crate::cli::serve_builds::ServeBuildsArgs;
use crate::cli::transport::TransportArgs;
use crate::config::Seconds;

/// Arguments of `wheelfarm serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on; port 0 takes one that is free, and says which
    #[arg(
        long,
        env = "WHEELFARM_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: SocketAddr,
    /// Answer for what the farm does not have from this index; without an address from the one that pip and uv use
    ///
    /// Without this option that is done if pip's, uv's or our own configuration names an index.
    #[arg(
        long,
        env = "WHEELFARM_UPSTREAM",
        value_name = "URL",
        num_args = 0..=1,
        default_missing_value = "",
        hide_env_values = true
    )]
    pub(crate) upstream: Option<String>,
    /// Serve only what the farm has
    #[arg(long, conflicts_with = "upstream")]
    pub(crate) no_upstream: bool,
    #[command(flatten)]
    pub(crate) transport: TransportArgs,
    #[command(flatten)]
    pub(crate) builds: ServeBuildsArgs,
}

/// Arguments of `wheelfarm publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Wheels and source distributions
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where to publish them [default: main]
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<Channel>,
    /// Send them to an index server instead: where it takes uploads, or, with --channel, the address of a wheelfarm
    /// server
    #[arg(
        long,
        env = "WHEELFARM_INDEX",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) index: Option<String>,
    /// Token that allows uploads there [default: the password in the address, or what netrc has for its host]
    #[arg(
        long,
        env = "WHEELFARM_INDEX_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
}

/// Arguments of `wheelfarm token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its secret is the last line of stdout, and is kept nowhere
    ///
    /// Clients send it as the password of the user `__token__`.
    Create {
        /// What it allows; all of them allow to read
        #[arg(long, required = true, value_name = "SCOPE", value_delimiter = ',')]
        scope: Vec<ScopeArg>,
        /// Where; can be repeated [default: in all channels]
        #[arg(long, value_name = "CHANNEL", value_delimiter = ',')]
        channel: Vec<Channel>,
        /// What people call it
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// For how long it is good: `90d`, `12h` [default: for ever]
        #[arg(long, value_name = "TIME")]
        expires: Option<Seconds>,
    },
    /// List the tokens there are
    List,
    /// Take a token no more; servers know within seconds
    Revoke {
        /// As `wheelfarm token list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeArg {
    /// Read pages and files
    Read,
    /// Upload, yank, delete
    Write,
    /// Promote from one channel to another
    Promote,
    /// Start builds
    Build,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Read => Self::Read,
            ScopeArg::Write => Self::Write,
            ScopeArg::Promote => Self::Promote,
            ScopeArg::Build => Self::Build,
        }
    }
}
