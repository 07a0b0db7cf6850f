//! Runs real containers on every engine there is: Docker, Podman as root and as an ordinary user, and the sandbox.
//!
//! `cargo xtask engines` makes all of them ready and runs this; arguments go to the test program, so
//! `cargo xtask engines podman::` is Podman's part of it. By hand, `WHEELFARM_TEST_DOCKER=1` asks for Docker and the
//! sandbox, `WHEELFARM_TEST_SANDBOX=1` for the sandbox alone, and `WHEELFARM_TEST_PODMAN` and
//! `WHEELFARM_TEST_ROOTLESS_PODMAN` say where Podman listens; what is not asked for is skipped. Needs mmdebstrap and a
//! Debian mirror the first time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[macro_use]
mod every;

mod cleanup;
mod connecting;
mod engine;
mod environment;
mod images;
mod left;
mod limits;
mod registry;
mod root;
mod run;
mod tested;
