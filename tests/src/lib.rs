//! Helpers of the integration tests and of `cargo xtask demo`: they run the built `wheelfarm` and look at what it
//! made with other programs' eyes.
//!
//! Everything here is real: the engine's own API ([`docker`]), PostgreSQL from Debian's package ([`postgres`]),
//! `auditwheel` ([`auditwheel`]), bare runtime containers ([`bare`]), the absence of Docker ([`absent`]). Only the package index that serves broken
//! packages is ours ([`index`]), and a farm for thousands of jobs is made up ([`synthetic`]).

pub mod absent;
pub mod asking;
pub mod auditwheel;
pub mod bare;
pub mod browser;
mod bubble;
pub mod clients;
pub mod compiled;
pub mod daemon;
pub mod docker;
pub mod engines;
pub mod environment;
pub mod farm;
mod http;
pub mod index;
pub mod ordinary;
pub mod outdated;
pub mod podman;
pub mod postgres;
pub mod process;
pub mod psycopg2;
pub mod published;
pub mod registry;
pub mod remote_execution;
pub mod report;
pub mod s3;
pub mod sandbox;
pub mod sdist;
pub mod server;
pub mod shelf;
pub mod showcase;
pub mod synthetic;
pub mod uploaders;
pub mod wheel;

pub use anyhow;
pub use tar;

use sha2::{Digest, Sha256};

/// The sha256 of `bytes` in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}
