//! The Remote Execution executor against a server in this process that does what engines do wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cache;
mod lost;
mod outcome;
mod support;
