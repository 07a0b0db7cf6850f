//! The arguments of `show`, `repair` and `lddtree`: names and environment variables are auditwheel's.

use std::path::PathBuf;

use clap::Args;

/// Where libraries are looked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct LibraryArgs {
    /// Directory that stands for `/` of the environment the wheel was built in
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// Directories to search instead of the loader's, separated by `:`
    #[arg(long, value_name = "PATHS")]
    pub(crate) ldpaths: Option<String>,
    /// Libraries that the system will have: shell patterns of their names or paths
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
}

/// What is asked of the audit.
#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) libraries: LibraryArgs,
    /// Allow code for processors above the architecture's baseline
    #[arg(long)]
    pub(crate) disable_isa_ext_check: bool,
    /// Take a wheel for all platforms as it is
    #[arg(long)]
    pub(crate) allow_pure_python_wheel: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The wheel
    #[arg(value_name = "WHEEL")]
    pub(crate) wheel: PathBuf,
    /// Print JSON: that of `auditwheel show --json`, and more under the key `wheelfarm`
    #[arg(long)]
    pub(crate) json: bool,
    /// Say what keeps the wheel from this tag: `manylinux_2_17` or `manylinux_2_17_x86_64`
    #[arg(long, value_name = "TAG")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RepairArgs {
    /// The wheels
    #[arg(required = true, value_name = "WHEEL")]
    pub(crate) wheels: Vec<PathBuf>,
    /// Platform the wheels must run on, or `auto`: the best each can have [env: `AUDITWHEEL_PLAT`] [default: auto]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) plat: Option<String>,
    /// What is appended to the project's name for the directory of grafted libraries
    #[arg(short = 'L', long, value_name = "SUFFIX", default_value = ".libs")]
    pub(crate) lib_sdir: String,
    /// Directory for the repaired wheels
    #[arg(short, long, value_name = "DIR", default_value = "wheelhouse")]
    pub(crate) wheel_dir: PathBuf,
    /// Keep the platform tags of names and metadata
    #[arg(long)]
    pub(crate) no_update_tags: bool,
    /// Do not add a better tag than `--plat` asks for
    #[arg(long)]
    pub(crate) only_plat: bool,
    /// Strip grafted libraries and the wheels' own: no symbol tables, no debug information
    #[arg(long)]
    pub(crate) strip: bool,
    /// Graft a library that the wheels' code loads by name (`dlopen`): its name, or its path in the root
    #[arg(long, value_name = "SONAME")]
    pub(crate) include: Vec<String>,
    /// `none` refuses wheels with ELF files to edit; all others are the built-in editor [env: `AUDITWHEEL_PATCHER`]
    #[arg(long, value_name = "PATCHER")]
    pub(crate) patcher: Option<String>,
    /// How many wheels are repaired at a time [default: one per processor core]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
    /// Compress everything anew, from 0 (not at all) to 9 (best) [env: `AUDITWHEEL_ZIP_COMPRESSION_LEVEL`] [default: 6
    /// for what changes]
    #[arg(short = 'z', long, value_name = "LEVEL")]
    pub(crate) zip_compression_level: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LddtreeArgs {
    /// An ELF file of the root, or a wheel
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) libraries: LibraryArgs,
}
