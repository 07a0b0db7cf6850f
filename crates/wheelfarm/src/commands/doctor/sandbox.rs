//! Whether the sandbox can run builds.

use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_executor::sandbox::Sandbox;
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use super::report::{Finding, Report};
use super::{Machine, container, gibibytes};
use crate::engine;
use crate::exit::Failure;

/// Everything about the sandbox.
pub(super) async fn check(report: &mut Report, machine: Machine, arch: Arch) {
    // What the sandbox is given here leaves nothing behind.
    let store = match Store::open("memory:").await {
        Ok(store) => store,
        Err(error) => return report.add("sandbox", Failure::from(error).into()),
    };
    let opened = engine::sandbox(&machine.sandbox, store.clone(), machine.network).await;
    let sandbox = match opened {
        Ok(sandbox) => {
            report.add("sandbox", confinement(&sandbox));
            report.add("limits", limits(&sandbox));
            report.add("network", network(&sandbox));
            sandbox
        }
        Err(failure) => {
            report.add("sandbox", Failure::from(failure).into());
            for id in ["limits", "network", "images", "container"] {
                report.add(id, Finding::skipped("there is no sandbox"));
            }
            return;
        }
    };
    let listed = sandbox.list(&Catalogue::builtin(arch)).await;
    let listed = listed.map_err(Failure::from);
    container::check(report, &sandbox, &store, listed).await;
    sandbox.close().await;
}

/// With what containers are made here.
fn confinement(sandbox: &Sandbox) -> Finding {
    let machine = sandbox.machine();
    let found = format!("{machine}, in {}", sandbox.directory().display());
    match machine.ids_advice() {
        Some(advice) => Finding::warning(found, advice),
        None => Finding::ok(found),
    }
}

/// How containers that may use the network reach it.
fn network(sandbox: &Sandbox) -> Finding {
    match sandbox.machine().network_advice() {
        Some(advice) => Finding::warning("containers cannot have a network of their own", advice),
        None => Finding::ok("containers that may use it have a network of their own"),
    }
}

/// What bounds a build here.
fn limits(sandbox: &Sandbox) -> Finding {
    let machine = sandbox.machine();
    let capacity = machine.capacity();
    let found = format!(
        "{}; {} cores, {}",
        machine.limits(),
        capacity.cores,
        gibibytes(capacity.memory)
    );
    match machine.limits_advice() {
        Some(advice) => Finding::warning(found, advice),
        None => Finding::ok(found),
    }
}
