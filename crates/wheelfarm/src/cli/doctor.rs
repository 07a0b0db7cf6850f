//! `wheelfarm doctor`.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// What is to run builds
    #[arg(long, value_name = "EXECUTOR", default_value = "docker")]
    pub(crate) executor: DoctorExecutor,
}

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorExecutor {
    /// The Docker Engine that `DOCKER_HOST` names
    Docker,
}
