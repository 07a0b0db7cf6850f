//! The arguments of `build`, and those it shares with other commands about whole sets of packages.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use wheelfarm_index::registry::Channel;
use wheelfarm_resolve::inputs::Wish;
use wheelfarm_types::{ProjectName, PythonVersion, Target};

use crate::config::Seconds;

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Directory for the wheels and their locks
    #[arg(short, long, value_name = "DIR", default_value = "wheelhouse")]
    pub(crate) out: PathBuf,
    /// How many jobs run at a time, if memory allows [default: one per processor core of the engine]
    #[arg(short, long, env = "WHEELFARM_JOBS", value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Do not import the wheels on a bare runtime
    #[arg(long)]
    pub(crate) no_prove: bool,
    /// Longest time of one build: `90s`, `30m`, `2h`, or seconds [default: 30m]
    #[arg(long, env = "WHEELFARM_TIMEOUT", value_name = "TIME")]
    pub(crate) timeout: Option<Seconds>,
    /// Try again what failed a short while ago with the same inputs
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// Keep containers of failed builds, and say how to look into them; implies `--retry-failed`
    #[arg(long)]
    pub(crate) keep_failed: bool,
    /// Build again with the system package that a build turns out to miss
    #[arg(long)]
    pub(crate) add_missing: bool,
    /// Take from a cache what a compiler made before; only where you trust every source that is built
    #[arg(long)]
    pub(crate) compiler_cache: bool,
    /// Build everything twice, also what was built before; what differs is not delivered
    #[arg(long)]
    pub(crate) check_reproducible: bool,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) farm: FarmArgs,
}

/// A build and the index.
#[derive(Debug, Default, Args)]
pub(crate) struct FarmArgs {
    /// Have the farm at this address build (a `wheelfarm serve`); needs no container engine here
    #[arg(long, env = "WHEELFARM_FARM", value_name = "URL")]
    pub(crate) farm: Option<String>,
    /// Token that allows builds there [default: the password in the address, or what netrc has for its host]
    #[arg(
        long,
        env = "WHEELFARM_FARM_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(crate) farm_token: Option<String>,
    /// Publish what was built in the index: `--publish=staging` in that channel, without a name in `main`
    #[arg(
        long,
        value_name = "CHANNEL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "main"
    )]
    pub(crate) publish: Option<Channel>,
}

/// What is told of a build, beside its wheels.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Write what each wheel was made from beside it: `<wheel>.provenance.json`
    #[arg(long)]
    pub(crate) provenance: bool,
    /// Ed25519 private key in PEM to sign the provenance with; implies `--provenance`
    #[arg(long, env = "WHEELFARM_SIGN_KEY", value_name = "FILE")]
    pub(crate) sign_key: Option<PathBuf>,
    /// Write the outcome of every package in JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write what happens as JSON lines while it does, the report last; `-` is stdout, which then has nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Directory that the build will write to: it is no part of a source that it lies in
    #[arg(short, long, value_name = "DIR", default_value = "wheelhouse")]
    pub(crate) out: PathBuf,
    /// Print what differs from the last build of each package that is to be built
    #[arg(long)]
    pub(crate) explain: bool,
    /// With `--format github-matrix`: an entry for every package that is to be built, not for every cell
    #[arg(long)]
    pub(crate) per_package: bool,
}

/// What is wanted, for what, and from where.
#[derive(Debug, Default, Args)]
pub(crate) struct SelectionArgs {
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// Pythons to build for, such as `3.11,3.13` [default: those of the image]
    #[arg(
        long,
        env = "WHEELFARM_PYTHON",
        value_name = "VERSION",
        value_delimiter = ','
    )]
    pub(crate) python: Vec<PythonVersion>,
    /// Targets to build for, such as `manylinux_2_28_x86_64` [default: what the image allows]
    #[arg(
        long,
        env = "WHEELFARM_TARGET",
        value_name = "TARGET",
        value_delimiter = ','
    )]
    pub(crate) target: Vec<Target>,
    /// Builder images to use, by the names of `wheelfarm images list` [default: the lowest that is here]
    #[arg(
        long,
        env = "WHEELFARM_IMAGE",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(crate) image: Vec<String>,
    /// Projects to build although the index has a wheel, or `all`
    #[arg(
        long,
        env = "WHEELFARM_FROM_SOURCE",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(crate) from_source: Vec<String>,
    /// Projects to take from the index as they are, never to build
    #[arg(
        long,
        env = "WHEELFARM_ONLY_UPSTREAM",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(crate) only_upstream: Vec<String>,
    /// Leave out what the requirements themselves require
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Look for newer versions of requirements and build requirements
    #[arg(short = 'U', long)]
    pub(crate) upgrade: bool,
    /// Leave the build tag out of wheels' names
    #[arg(long)]
    pub(crate) no_build_tag: bool,
    /// The pinned uv's wheel, for machines where pip cannot download it
    #[arg(long, value_name = "FILE")]
    pub(crate) uv_wheel: Option<PathBuf>,
}

/// What is wanted.
#[derive(Debug, Default, Args)]
pub(crate) struct InputArgs {
    /// What to build: `psycopg2`, `lxml>=6`, `./project`, `./x-1.0.tar.gz`, `x @ git+https://host/repo@COMMIT`
    #[arg(value_name = "REQUIREMENT")]
    pub(crate) wishes: Vec<Wish>,
    /// Requirements file, pyproject.toml, pylock.toml or uv.lock
    #[arg(short, long = "requirements", value_name = "FILE")]
    pub(crate) requirement_files: Vec<PathBuf>,
    /// File with constraints on versions, one a line
    #[arg(short, long = "constraints", value_name = "FILE")]
    pub(crate) constraint_files: Vec<PathBuf>,
    /// Extras of pyproject.toml, uv.lock or pylock.toml that are wanted too
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) extra: Vec<ProjectName>,
    /// All extras of such files
    #[arg(long, conflicts_with = "extra")]
    pub(crate) all_extras: bool,
    /// Dependency groups of such files that are wanted too
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) group: Vec<ProjectName>,
    /// Refuse everything that the requirements state no hash of
    #[arg(long)]
    pub(crate) require_hashes: bool,
}
