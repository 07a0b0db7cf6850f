//! Arguments of `wheelfarm store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wheelfarm_types::Digest;

use crate::config::Seconds;

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Say how much there is of each kind, or list the objects below a path
    Ls {
        /// `blobs`, `records/raw`, `logs/index` and so on [default: all, counted]
        #[arg(value_name = "PATH")]
        path: Option<String>,
    },
    /// Read everything and compare it with its digest; logs must have no gaps, and what the index needs must be there
    Verify {
        /// Remove what is damaged, so that it is made again
        #[arg(long)]
        repair: bool,
    },
    /// Remove what is old and nothing needs: not the index, no young lock, no young record
    ///
    /// Can run beside builds and servers. Blobs are moved to a trash first, from where whoever asks for them gets them
    /// back; a later run frees their space.
    Gc {
        /// How old: `30d`, `12h`; at least an hour
        #[arg(long, value_name = "TIME", default_value = "30d")]
        older_than: Seconds,
        /// How long blobs stay in the trash: longer than any build takes; at least an hour
        #[arg(long, value_name = "TIME", default_value = "1d")]
        trash_for: Seconds,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Write the store, or a part of it, to a tar file, for another store to import
    Export {
        /// The file; `-` is stdout
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// SHA-256 of a wheel: only these, the records that name them and what these name; can be repeated
        #[arg(long, value_name = "SHA256")]
        wheel: Vec<Digest>,
    },
    /// Take in what `export` has written; every digest is checked and nothing is overwritten
    Import {
        /// The file; `-` is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
