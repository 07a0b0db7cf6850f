//! Runs build actions, and makes or finds what they run in: in Docker ([`docker`]), and on Remote Execution clusters
//! ([`reapi`]).
//!
//! The only crate that knows container engines and clusters.

mod debian;
pub mod docker;
mod download;
mod error;
mod image;
mod input_file;
mod log;
mod network;
mod output;
mod packages;
pub mod reapi;
mod run_lock;
pub mod sandbox;
mod supervise;
mod wrapper;

pub use debian::{CLEAN, EPOCH, python_source, steady};
pub use docker::{
    Docker, DockerSettings, EngineFacts, Flavour, ImageContents, RegistryLogin, SweepReport,
};
pub use image::{ImageRole, ListedImage};
pub use network::HostNetwork;
pub use sandbox::{Launcher, Sandbox, SandboxSettings, no_login};
