//! Runs real containers. Needs a Docker engine and, the first time, mmdebstrap and a Debian mirror.
//!
//! `WHEELFARM_TEST_DOCKER=1 cargo test -p wheelfarm-executor --test docker`; skipped without the variable.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cleanup;
mod environment;
mod images;
mod limits;
mod root;
mod run;
mod support;
