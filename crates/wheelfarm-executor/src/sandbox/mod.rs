//! Runs actions with no engine at all: an OCI runtime of the distribution, driven by us.

#![allow(dead_code, reason = "the executor above it comes with the next change")]

mod launch;
mod unpack;
