//! Runs build actions, and makes or finds what they run in: in Docker ([`docker`]), and on Remote Execution clusters
//! ([`reapi`]).
//!
//! The only crate that knows container engines and clusters.

pub mod docker;
mod error;
mod log;
pub mod reapi;

pub use docker::{
    CLEAN, Docker, DockerSettings, EPOCH, EngineFacts, HostNetwork, ImageContents, ImageRole,
    ListedImage, RegistryLogin, SweepReport, python_source,
};
