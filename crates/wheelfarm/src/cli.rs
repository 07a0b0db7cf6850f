//! The command line. Knows nothing of what the words do.

pub(crate) mod build;
pub(crate) mod dockerfile;
pub(crate) mod export;
pub(crate) mod index;
pub(crate) mod inspect;
pub(crate) mod refresh;
pub(crate) mod serve;
pub(crate) mod serve_builds;
pub(crate) mod store;
pub(crate) mod transport;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wheelfarm_types::{ProjectName, PythonVersion};

use crate::config::ExecutorChoice;

/// Builds, repairs, proves and keeps binary wheels.
#[derive(Debug, Parser)]
#[command(name = "wheelfarm", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The store: a directory, or `s3://`, `gs://` or `az://` with bucket and prefix [default: `store` in the cache
    /// directory]
    #[arg(long, global = true, env = "WHEELFARM_STORE", value_name = "ADDRESS")]
    pub(crate) store: Option<String>,
    /// Directory for what can be made again [default: `wheelfarm` in the user's cache directory]
    #[arg(long, global = true, env = "WHEELFARM_CACHE", value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Directory of the sandbox's images and environments, on a local file system [default: `sandbox` in the cache directory]
    #[arg(long, global = true, env = "WHEELFARM_SANDBOX_DIR", value_name = "DIR")]
    pub(crate) sandbox_dir: Option<PathBuf>,
    /// Configuration file [default: wheelfarm.toml, or pyproject.toml with [tool.wheelfarm], if there is one]
    #[arg(long, global = true, env = "WHEELFARM_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set any value of the configuration: `package.psycopg2.memory=2GiB`; `WHEELFARM_SET` has one a line
    #[arg(
        long,
        global = true,
        env = "WHEELFARM_SET",
        value_name = "KEY=VALUE",
        value_delimiter = '\n'
    )]
    pub(crate) set: Vec<String>,
    /// What runs builds: `docker`, `sandbox`, which needs no engine, `reapi`, a Remote Execution cluster, or `auto`: Docker
    /// if it answers, else the sandbox [default: auto]
    #[arg(long, global = true, env = "WHEELFARM_EXECUTOR", value_name = "NAME")]
    pub(crate) executor: Option<ExecutorChoice>,
    /// Address of the Remote Execution cluster: `grpc://HOST:PORT`, or `grpcs://` for TLS
    #[arg(long, global = true, env = "WHEELFARM_ENDPOINT", value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Form of the result on stdout
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    pub(crate) format: Format,
    /// Print errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print every single thing that is done
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    /// For `fromJSON` in a GitHub workflow (`plan` only)
    GithubMatrix,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build wheels of packages and what they require
    Build(Box<build::BuildArgs>),
    /// Show what `build` would do, and why; starts nothing
    Plan(Box<build::PlanArgs>),
    /// Hand out wheels of the store for a runtime stage; builds nothing and needs no container engine
    ///
    /// Ends with 1, and writes nothing, if one of them is not in the store.
    Export(Box<export::ExportArgs>),
    /// Print a Dockerfile, and its .dockerignore, for a final image that is made of the farm's wheels
    Dockerfile(Box<dockerfile::DockerfileArgs>),
    /// List, pull or make builder images
    Images(ImagesArgs),
    /// Look into containers of the sandbox that `--keep-failed` kept
    Sandbox(SandboxArgs),
    /// Say what works on this machine, and what to do about what does not
    ///
    /// Ends with 4 if something does not.
    Doctor,
    /// Edit ELF files with the options of patchelf, whose place it takes in scripts
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Patch {
        /// Arguments as for patchelf; `--help` lists them
        #[arg(
            value_name = "ARGUMENT",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        words: Vec<std::ffi::OsString>,
    },
    /// Audit a wheel: the platform tag it earns, and what keeps it from a better one
    Show(inspect::ShowArgs),
    /// Graft the libraries that wheels need into them, and tag them for the platforms they run on
    Repair(Box<inspect::RepairArgs>),
    /// Print the libraries below an ELF file or a wheel's objects
    Lddtree(inspect::LddtreeArgs),
    /// Print what the last build of a project printed, or list the last builds
    Logs(LogsArgs),
    /// Check wheels against their RECORD, their provenance and its signature
    Verify(VerifyArgs),
    /// Find wheels with system libraries that have been updated since, and build them anew
    ///
    /// Ends with 1 if there are such wheels and they were not built anew.
    Refresh(refresh::RefreshArgs),
    /// Serve the store as a package index
    Serve(serve::ServeArgs),
    /// Promote, yank and delete what is published, and see who did what
    Index(index::IndexArgs),
    /// Publish files in the store's index, after the checks that uploads go through, or send them to an index server
    ///
    /// One that is refused does not keep the others back. Ends with 1 if one is; the same file again is fine.
    Publish(serve::PublishArgs),
    /// Make, list and revoke tokens for the index
    Token(serve::TokenArgs),
    /// Look after the store
    Store(store::StoreArgs),
    /// Show the configuration that holds here, or what it may say
    Config(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    #[command(subcommand)]
    pub(crate) command: ImagesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// Show every builder image and whether it is here
    List,
    /// Pull builder images from their registry, by digest
    Pull {
        /// Names of `wheelfarm images list`
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Send images to the Remote Execution cluster, once: bare runtimes, and the environments of all builds so far
    Push {
        /// Names of `wheelfarm images list` [default: all that are here]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Make builder images, and the bare runtime images that go with them, from Debian packages
    Build {
        /// Names of `wheelfarm images list`
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Leave images that are here as they are, and compile these Pythons for them: `3.11,3.13,3.13t`
        #[arg(long, value_name = "VERSION", value_delimiter = ',')]
        python: Vec<PythonVersion>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    #[command(subcommand)]
    pub(crate) command: SandboxCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// List the containers that are kept
    List,
    /// Open a shell in one: its files are as the failed build left them
    Enter {
        /// One of `wheelfarm sandbox list`
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Remove some
    Remove {
        /// Names of `wheelfarm sandbox list`
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// What the program starts to make a container: not for people
    #[command(hide = true)]
    Launch,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the values that hold, and the recipes of projects, built-in ones included
    Show {
        /// Projects whose recipes to print [default: those of the configuration]
        #[arg(value_name = "PROJECT")]
        projects: Vec<ProjectName>,
    },
    /// Print the JSON schema of wheelfarm.toml, for editors
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Whose last log to print; without it the last builds are listed
    #[arg(value_name = "PROJECT")]
    pub(crate) project: Option<ProjectName>,
    /// Only builds for this Python and target, or with names that begin so: `cp311`, `cp311-manylinux_2_36_x86_64`
    #[arg(long, value_name = "CELL")]
    pub(crate) cell: Option<String>,
    /// Only builds that failed
    #[arg(long)]
    pub(crate) failed: bool,
    /// How many builds to list
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    pub(crate) number: usize,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Wheels; their provenance is in `<wheel>.provenance.json` beside them, or in the store
    #[arg(required = true, value_name = "WHEEL")]
    pub(crate) wheels: Vec<PathBuf>,
    /// Ed25519 public key in PEM: the provenance must be signed with its private key
    #[arg(long, env = "WHEELFARM_VERIFY_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}
