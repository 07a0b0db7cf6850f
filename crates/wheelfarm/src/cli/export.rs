//! The arguments of `export`.

use std::path::PathBuf;

use clap::Args;
use wheelfarm_coordinator::ImageName;

use super::build::SelectionArgs;

/// What of the store is handed out, and in which forms.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one per switch of the command line"
)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Directory for the wheels and their locks [default: wheelhouse, if no other form is asked for]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Hard-link wheels to those of the store: only where nobody writes to the directory, nor changes owner or mode
    #[arg(long)]
    pub(crate) hard_links: bool,
    /// Hand out what was built and never imported on a bare runtime
    #[arg(long)]
    pub(crate) no_prove: bool,
    /// Write an image that holds nothing but `/wheelhouse`: an OCI layout in this directory, or a file that ends in .tar
    #[arg(long, value_name = "PATH")]
    pub(crate) oci: Option<PathBuf>,
    /// Give that image to the Docker engine
    #[arg(long, requires = "tag")]
    pub(crate) load: bool,
    /// Give that image to the Docker engine, and push it to the registry that its name says
    #[arg(long, requires = "tag")]
    pub(crate) push: bool,
    /// Name of that image: `wheels`, `registry.example/team/wheels:2026-01`
    #[arg(long, value_name = "NAME")]
    pub(crate) tag: Option<ImageName>,
    /// Write a tree of the installed packages, for `PYTHONPATH` of a stage without pip: a directory that is not there yet
    #[arg(long, value_name = "DIR")]
    pub(crate) site: Option<PathBuf>,
    /// Write a virtual environment that is to be copied to `--prefix`: a directory that is not there yet
    #[arg(long, value_name = "DIR")]
    pub(crate) venv: Option<PathBuf>,
    /// Where the virtual environment will lie [default: /opt/venv]
    #[arg(long, value_name = "PATH", requires = "venv")]
    pub(crate) prefix: Option<PathBuf>,
    /// Where the tree of `--site` will lie: what its byte code says of itself [default: /app]
    #[arg(long, value_name = "PATH", requires_all = ["site", "bytecode"])]
    pub(crate) site_prefix: Option<PathBuf>,
    /// Compile the modules of a tree to byte code, in a container of the engine
    #[arg(long)]
    pub(crate) bytecode: bool,
    /// Write the compiled Python that builds used, for final stages that have none of its version: a directory that is not
    /// there yet
    #[arg(long, value_name = "DIR")]
    pub(crate) python_tree: Option<PathBuf>,
    /// Say whether the wheels run on this image: nothing of it is run. What does not run is not written. May be repeated
    #[arg(long, value_name = "IMAGE")]
    pub(crate) check: Vec<String>,
    /// The interpreter that a tree will be used with, or that an image to check has [default: `/usr/bin/python` and the version]
    #[arg(long, value_name = "PATH")]
    pub(crate) interpreter: Option<PathBuf>,
}
