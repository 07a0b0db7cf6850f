//! `wheelfarm doctor`: looks at everything that a build needs, one thing after the other, and goes on after what does
//! not work. It leaves nothing behind.
//!
//! To add a check, write a function that gives a [`report::Finding`] and name it in [`machine`] or in the list of its
//! executor.

mod container;
mod docker;
mod network;
mod places;
mod reapi;
mod report;
mod resolver;
mod sandbox;

use std::path::PathBuf;

use wheelfarm_executor::HostNetwork;
use wheelfarm_resolve::inputs::IndexOptions;
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use self::report::{Finding, Report};
use crate::cli::{Format, GlobalArgs};
use crate::config::{Config, ExecutorChoice};
use crate::exit::{Exit, Failure};
use crate::index_settings;
use crate::printer::Printer;
use crate::settings::{cache_directory, host_arch, sandbox_directory};

pub(crate) async fn run(global: &GlobalArgs, printer: Printer) -> Result<Exit, Failure> {
    let text = (global.format == Format::Text).then_some(printer);
    let arch = host_arch()?;
    let (finding, config) = places::configuration(global);
    let runs = cache_directory(global)?.join("runs");
    // What the command line says counts also where the file cannot be read.
    let executor = match global.executor.or(config.farm.executor).unwrap_or_default() {
        ExecutorChoice::Auto if docker::answers(&runs).await? => ExecutorChoice::Docker,
        ExecutorChoice::Auto => ExecutorChoice::Sandbox,
        chosen => chosen,
    };
    let mut report = Report::new(executor.as_str(), text);
    report.add("configuration", finding);
    let machine = machine(&mut report, global, &config, arch).await?;
    match executor {
        ExecutorChoice::Reapi => reapi::check(&mut report, machine, &config, arch).await,
        ExecutorChoice::Sandbox => sandbox::check(&mut report, machine, arch).await,
        ExecutorChoice::Auto | ExecutorChoice::Docker => {
            docker::check(&mut report, &runs, machine.network, arch).await;
        }
    }
    Ok(report.end(printer))
}

/// What was learnt of this machine, for checks of an executor.
struct Machine {
    cache: PathBuf,
    sandbox: PathBuf,
    network: HostNetwork,
    store: Option<Store>,
}

/// Checks of what every executor needs here.
async fn machine(
    report: &mut Report,
    global: &GlobalArgs,
    config: &Config,
    arch: Arch,
) -> Result<Machine, Failure> {
    let cache = cache_directory(global)?;
    report.add("cache", places::cache(&cache));
    let (finding, store) = places::store(global, config, &cache).await;
    report.add("store", finding);
    report.add(
        "uv",
        match &store {
            Some(store) => resolver::uv(store, &cache, arch).await,
            None => Finding::skipped("there is no store to look for it in"),
        },
    );
    let (settings, network) = index_settings::read(&IndexOptions::default());
    report.add("index", resolver::index(&settings).await);
    report.add("certificates", network::certificates(&network));
    report.add("proxies", network::proxies(&network));
    Ok(Machine {
        sandbox: sandbox_directory(global, &cache)?,
        cache,
        network,
        store,
    })
}

/// A number of bytes as people say it of disks and memory.
fn gibibytes(bytes: u64) -> String {
    let tenths = bytes / ((1 << 30) / 10);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}
