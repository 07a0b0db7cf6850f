//! One file per command: plain values in, exit code out.

pub(crate) mod build;
mod build_report;
pub(crate) mod config;
mod graft_cache;
pub(crate) mod images;
pub(crate) mod lddtree;
pub(crate) mod logs;
mod opened;
pub(crate) mod patch;
pub(crate) mod plan;
mod provenance;
pub(crate) mod refresh;
pub(crate) mod repair;
mod repair_settings;
mod selection;
pub(crate) mod show;
mod show_json;
pub(crate) mod store;
mod table;
pub(crate) mod verify;
mod why;
mod wording;
