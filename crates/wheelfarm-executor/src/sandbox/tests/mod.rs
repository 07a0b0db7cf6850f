//! Real containers, on a root that consists of this machine's own `/usr`: that is there everywhere.
//!
//! `WHEELFARM_TEST_DOCKER=1 cargo test -p wheelfarm-executor sandbox`; skipped without the variable. Run by root, the
//! same tests run once more as ordinary users.

mod confinement;
mod life;
mod network;
pub(super) mod support;
mod sweep;
mod users;
