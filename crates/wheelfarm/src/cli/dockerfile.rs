//! The arguments of `dockerfile`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use wheelfarm_types::{PythonVersion, Target};

/// The project that an image is for, and what the image is to be like.
#[derive(Debug, Args)]
pub(crate) struct DockerfileArgs {
    /// What the final stage begins with
    #[arg(long, value_name = "KIND", default_value = "slim")]
    pub(crate) base: BaseKind,
    /// Its Python [default: the first of the configuration]
    #[arg(long, value_name = "VERSION")]
    pub(crate) python: Option<PythonVersion>,
    /// What the wheels are for [default: the first of the configuration]
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<Target>,
    /// Where the wheels come from [default: tree for distroless, else wheelhouse]
    #[arg(long, value_name = "FORM")]
    pub(crate) from: Option<Source>,
    /// Requirements files, as they are given to `wheelfarm build`
    #[arg(
        short,
        long = "requirements",
        value_name = "FILE",
        default_value = "requirements.txt"
    )]
    pub(crate) requirements: Vec<PathBuf>,
    /// Files and directories of the project to copy to /app
    #[arg(long, value_name = "PATH")]
    pub(crate) copy: Vec<PathBuf>,
    /// The project itself is installed, as a wheel that the farm built of it
    #[arg(long)]
    pub(crate) install: bool,
    /// A system package that the final stage needs (those of `runtime-packages-<cell>.txt`)
    #[arg(long, value_name = "NAME")]
    pub(crate) package: Vec<String>,
    /// A port that the program listens on
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Vec<u16>,
    /// Numeric id of the user and group that the program runs as
    #[arg(long, value_name = "ID", default_value_t = 65532, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) user: u32,
    /// Print the .dockerignore that goes with it instead
    #[arg(long)]
    pub(crate) ignore: bool,
    /// The program and its arguments, behind `--`: `gunicorn --bind 0.0.0.0:8080 app:app`
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What a final stage begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BaseKind {
    /// Debian with Python
    Slim,
    /// Python and the libraries it needs: no shell, no package manager
    Distroless,
    /// musl and `BusyBox`, with Python
    Alpine,
}

/// Where an image gets its wheels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// `wheelhouse/` of the build context: what `build` and `export` write
    Wheelhouse,
    /// An image with a wheelhouse: what `export --load --tag wheels` makes
    Image,
    /// Installed packages, `site/` of the build context: what `export --site site` writes
    Tree,
}

impl BaseKind {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Slim => "slim",
            Self::Distroless => "distroless",
            Self::Alpine => "alpine",
        }
    }
}

impl Source {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Wheelhouse => "wheelhouse",
            Self::Image => "image",
            Self::Tree => "tree",
        }
    }
}
