//! Runs build actions, and makes or finds what they run in: in Docker ([`docker`]), and on Remote Execution clusters
//! ([`reapi`]).
//!
//! The only crate that knows container engines and clusters.

pub mod docker;
mod error;
mod input_file;
mod log;
mod network;
mod output;
mod packages;
pub mod reapi;
mod run_lock;
mod wrapper;

pub use docker::{
    CLEAN, Docker, DockerSettings, EPOCH, EngineFacts, Flavour, ImageContents, ImageRole,
    ListedImage, RegistryLogin, SweepReport, python_source,
};
pub use network::HostNetwork;
