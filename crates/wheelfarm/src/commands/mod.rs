//! One file per command: plain values in, exit code out.

pub(crate) mod build;
mod build_report;
pub(crate) mod images;
mod requirement_files;
pub(crate) mod store;
