//! Byte code for a tree, which needs an engine.

use std::path::Path;
use std::sync::Arc;

use wheelfarm_build::JobError;
use wheelfarm_build::bytecode::{BytecodeRequest, Compilation, compile};
use wheelfarm_build::matrix::Cell;
use wheelfarm_executor::HostNetwork;
use wheelfarm_resolve::Installed;

use super::Wanted;
use crate::engine;
use crate::exit::Failure;
use crate::services;

/// How long it may take to compile a tree, in seconds: a hundred packages take a minute.
const SECONDS: u64 = 30 * 60;

/// Adds byte code to `installed`, which will lie at `prefix`.
pub(super) async fn add(
    wanted: Wanted<'_>,
    cell: &Cell,
    installed: &Installed,
    prefix: &Path,
) -> Result<(), Failure> {
    let modules = installed.modules().map_err(JobError::from)?;
    let printer = wanted.printer;
    let log = Arc::new(move |line: &str| printer.detail(line));
    let docker = engine::docker(wanted.places, HostNetwork::default()).await?;
    let limits = services::limits(SECONDS);
    let compilation = Compilation {
        executor: &docker,
        environments: &docker,
        store: &wanted.places.store,
        limits: &limits,
        cancel: wanted.cancel,
    };
    let request = BytecodeRequest {
        cell,
        modules,
        prefix,
    };
    let compiled = compile(compilation, &request, log).await;
    docker.close().await;
    installed
        .add_bytecode(&compiled?)
        .map_err(|error| JobError::from(error).into())
}
