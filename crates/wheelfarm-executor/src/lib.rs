//! Runs build actions in Docker, and makes builder images and environments.
//!
//! ```text
//!   Docker::connect ─ run_lock   who owns a container: a lock file that dies with its process
//!     │
//!     ├─ sweep                   removes what a killed run left
//!     ├─ Executor::run           inputs + tools (volumes) -> container -> stream -> outputs
//!     ├─ images                  find, list, pull, make from Debian packages; look into one (contents)
//!     └─ environments            builder image + system packages -> image, manifest, library root
//! ```
//!
//! The only crate that knows Docker. It uses nothing but the engine's API, and no bind mounts, so the engine may
//! be on another machine or behind a socket mounted into a CI job.

mod action;
mod compiler_cache;
mod container;
mod contents;
mod debian;
mod debian_source;
mod docker;
mod environment;
mod error;
mod images;
mod inputs;
mod install;
mod keep;
mod licenses;
mod load;
mod log;
mod manifest;
mod musl;
mod output;
mod package_cache;
mod pull;
mod push;
mod root;
mod run_lock;
mod scope;
mod services;
mod settings;
mod sweep;
mod tools;

pub use contents::ImageContents;
pub use debian::{CLEAN, EPOCH};
pub use debian_source::python_source;
pub use docker::Docker;
pub use images::{ImageRole, ListedImage};
pub use push::RegistryLogin;
pub use settings::{DockerSettings, HostNetwork};
pub use sweep::SweepReport;
