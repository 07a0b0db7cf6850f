//! The arguments of `refresh`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use wheelfarm_types::ProjectName;

use crate::config::Seconds;

#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    /// Projects whose wheels to look at [default: all in the store]
    #[arg(value_name = "PROJECT")]
    pub(crate) projects: Vec<ProjectName>,
    /// Build stale wheels anew, with the packages as they are now and a higher build tag
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// How many jobs run at a time, if memory allows [default: one per processor core of the engine]
    #[arg(short, long, env = "WHEELFARM_JOBS", value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Longest time of one build: `90s`, `30m`, `2h`, or seconds [default: 30m]
    #[arg(long, env = "WHEELFARM_TIMEOUT", value_name = "TIME")]
    pub(crate) timeout: Option<Seconds>,
    /// The pinned uv's wheel, for machines where pip cannot download it
    #[arg(long, value_name = "FILE")]
    pub(crate) uv_wheel: Option<PathBuf>,
}
