//! Integration tests: the built program against the real engine, pip, auditwheel and PostgreSQL.
//!
//! `cargo xtask test` makes everything ready and runs them with `WHEELFARM_TEST_DOCKER=1`; without the variable
//! those that need the engine do nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod build_requirements;
mod channels;
mod checking;
mod clients;
mod configuration;
mod crashes;
mod daemon;
mod dispatch;
mod dockerfiles;
mod doctor;
mod emulated;
mod engine;
mod exporting;
mod failing_builds;
mod farm_builds;
mod given_sources;
mod graph;
mod hostile;
mod images;
mod input_locks;
mod inspector;
mod installing;
mod live_pages;
mod main_job;
mod mirror;
mod musl;
mod other_packages;
mod pages;
mod patch;
mod patch_support;
mod places;
mod plans;
mod proofs;
mod provenance;
mod proxies;
mod publishing;
mod pushing;
mod pythons;
mod refresh;
mod remote_builds;
mod remote_cluster;
mod remote_engines;
mod remote_faults;
mod repair_options;
mod reports;
mod reproducible;
mod requests;
mod requirement_files;
mod s3;
mod sandbox;
mod serving;
mod sources;
mod stores;
mod support;
mod transport;
mod unstated_metadata;
mod upload_storms;
mod uploads;
mod upstream;
mod warm;

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_file_here_is_a_module_of_this_program() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration");
    let main = fs_err::read_to_string(directory.join("main.rs")).unwrap();
    let declared: BTreeSet<_> = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    let present: BTreeSet<_> = fs_err::read_dir(&directory)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name != "main")
        .collect();
    assert_eq!(present, declared);
}
