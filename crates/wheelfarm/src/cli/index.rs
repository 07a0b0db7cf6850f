//! Arguments of `wheelfarm index`.

use clap::{Args, Subcommand, ValueEnum};
use wheelfarm_index::operations::Selection;
use wheelfarm_index::registry::{Channel, Status};
use wheelfarm_types::ProjectName;

/// Arguments of `wheelfarm index`.
#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    #[command(subcommand)]
    pub(crate) command: IndexCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IndexCommand {
    /// Publish files of a channel in another one as well
    Promote {
        #[command(flatten)]
        what: What,
        /// Where they are
        #[arg(long, value_name = "CHANNEL")]
        from: Channel,
        /// Where they are to be
        #[arg(long, value_name = "CHANNEL", default_value = "main")]
        to: Channel,
    },
    /// Keep installers from choosing files by themselves; who asks for the very version still gets them
    Yank {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        place: Place,
        /// Why, for who installs them all the same
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take a yank back
    Unyank {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        place: Place,
    },
    /// Delete files; their names can never mean other files
    Delete {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        place: Place,
    },
    /// Set the status of a project
    Status {
        /// Whose
        #[arg(value_name = "PROJECT")]
        project: ProjectName,
        /// What it is from now on
        #[arg(value_name = "STATUS")]
        status: StatusArg,
        #[command(flatten)]
        place: Place,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Print who did what when, oldest first
    Log {
        /// Only what was done to this project
        #[arg(value_name = "PROJECT")]
        project: Option<ProjectName>,
        /// Only what happened in this channel
        #[arg(long, value_name = "CHANNEL")]
        channel: Option<Channel>,
        /// Only entries after this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct What {
    /// Which files: `psycopg2==2.9.10`, or the name of one
    #[arg(value_name = "FILES")]
    pub(crate) files: Selection,
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where
    #[arg(long, value_name = "CHANNEL", default_value = "main")]
    pub(crate) channel: Channel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusArg {
    /// Nothing special
    Active,
    /// Nothing new is to be expected, nor taken
    Archived,
    /// Not safe: its files are shown to nobody
    Quarantined,
    /// Obsolete
    Deprecated,
}

impl From<StatusArg> for Status {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Active => Self::Active,
            StatusArg::Archived => Self::Archived,
            StatusArg::Quarantined => Self::Quarantined,
            StatusArg::Deprecated => Self::Deprecated,
        }
    }
}
