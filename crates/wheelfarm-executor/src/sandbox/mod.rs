//! Runs actions with no engine at all: an OCI runtime of the distribution, driven by us.

// Until the executor above is there, nothing in this crate calls some of it.
#![allow(dead_code, reason = "the executor above it comes with the next change")]

mod bundle;
mod cgroup;
mod launch;
mod launcher;
mod machine;
#[cfg(test)]
mod tests;
mod unpack;

pub use launch::Launcher;
pub use launcher::launcher_main;
pub use machine::{Extent, Ids, Machine, Runtime};
