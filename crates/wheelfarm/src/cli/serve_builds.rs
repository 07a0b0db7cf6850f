//! Arguments of `wheelfarm serve` about builds.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use wheelfarm_types::ProjectName;

#[derive(Debug, Args)]
#[command(next_help_heading = "Builds")]
pub(crate) struct ServeBuildsArgs {
    /// Do not build, whoever asks
    #[arg(long)]
    pub(crate) no_builds: bool,
    /// Build projects of which there is no wheel when an installer asks for them: these, or those of the configuration
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        num_args = 0..,
        require_equals = true,
        conflicts_with = "no_builds"
    )]
    pub(crate) build_on_demand: Option<Vec<ProjectName>>,
    /// How many builds run at a time [default: 1, with as many jobs as the engine has cores]
    #[arg(long, env = "WHEELFARM_BUILDS", value_name = "N")]
    pub(crate) builds: Option<NonZeroUsize>,
    /// The pinned uv's wheel, for machines where pip cannot download it
    #[arg(long, value_name = "FILE")]
    pub(crate) uv_wheel: Option<PathBuf>,
}
