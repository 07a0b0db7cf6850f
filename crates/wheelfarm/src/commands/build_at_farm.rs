//! `wheelfarm build --farm URL`: the same as a build here, on a machine that needs no container engine.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use wheelfarm_coordinator::{
    AtomicFile, Delivered, WheelhouseError, write_delivered, write_runtime_packages,
};
use wheelfarm_index::BuildRequest;
use wheelfarm_index::registry::Channel;
use wheelfarm_resolve::inputs::{IndexOptions, Inputs};
use wheelfarm_types::Requirement;

use super::build_report::{BuildReport, Delivery};
use super::selection;
use crate::cli::GlobalArgs;
use crate::cli::build::BuildArgs;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::farm::{Begun, Ended, Farm, Outcome};
use crate::index_settings;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::settings::{Places, cancellation};

/// Has the farm at `address` build what `inputs` ask for, and delivers it here.
pub(super) async fn run(
    global: &GlobalArgs,
    args: &BuildArgs,
    inputs: &Inputs,
    config: &Config,
    address: &str,
    printer: Printer,
) -> Result<Exit, Failure> {
    only_here(args, config)?;
    let request = request(args, inputs, config)?;
    if inputs.index != IndexOptions::default() {
        printer
            .note("the farm asks its own index: index options of requirements files are left out");
    }
    let (settings, _) = index_settings::read(&IndexOptions::default());
    let farm = Farm::new(address, args.farm.farm_token.as_deref(), &settings)?;
    let cancel = cancellation();
    let progress = Progress::with_events(printer, args.report.events.as_deref())?;
    let current: Mutex<Option<Begun>> = Mutex::new(None);
    let observer = progress.observer();
    let work = farm.build(&request, &observer, |build, joined| {
        let also = if joined {
            ", which somebody else asked for as well"
        } else {
            ""
        };
        printer.note(format_args!(
            "build {} of {address_shown}{also}",
            build.id,
            address_shown = farm.shown()
        ));
        *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(build.clone());
    });
    let done = cancel.run_until_cancelled(work).await;
    progress.finish();
    let Some(outcome) = done else {
        let build = current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(build) = build {
            farm.give_up(&build.id).await;
        }
        return Ok(Exit::Interrupted);
    };
    let outcome = outcome?;
    let Some(report) = &outcome.report else {
        return Err(failure_of(&outcome.ended));
    };
    let report = deliver(&farm, &outcome, report, &args.out).await?;
    let places = Places::open(global, config).await?;
    for failure in &report.failures {
        // The report names it by digest; who prints it looks for it in the store.
        if let Some(log) = farm.log(&outcome.build.id, &failure.job).await {
            places.store.put(log).await?;
        }
    }
    let delivery = Delivery {
        store: &places.store,
        format: global.format,
        stdout_taken: args.report.events.as_deref() == Some(Path::new("-")),
        junit: args.report.junit.as_deref(),
        printer,
    };
    delivery.send(&report).await?;
    if !outcome.ended.published.is_empty() {
        let channel = &request.channel;
        printer.note(format_args!(
            "published in `{channel}`: {}",
            outcome.ended.published.join(", ")
        ));
    }
    progress.report(&report.to_json());
    let exit = report.exit(false);
    // What the report does not know of failed after it: publishing.
    if exit == Exit::Ok && outcome.ended.exit != 0 {
        return Err(failure_of(&outcome.ended));
    }
    Ok(exit)
}

/// Brings the wheels and writes what a build here writes.
async fn deliver(
    farm: &Farm,
    outcome: &Outcome,
    report: &serde_json::Value,
    out: &Path,
) -> Result<BuildReport, Failure> {
    let not_understood = |error: serde_json::Error| {
        Failure::machine(format!("the farm's report is not understood: {error}")).with_hint(Some(
            "is it of the same version as this program?".to_owned(),
        ))
    };
    let mut report = BuildReport::from_elsewhere(report, out).map_err(not_understood)?;
    let wheels: Vec<_> = report
        .wheels
        .iter()
        .map(super::build_report::Wheel::delivered)
        .collect();
    let bring = async |wheel: &Delivered, out: &mut AtomicFile| {
        let filename = wheel.filename.to_string();
        let brought = farm
            .wheel(&outcome.build.id, &filename, &wheel.sha256, out)
            .await;
        brought.map_err(|failure| WheelhouseError::Download(failure.message))
    };
    let unwritten = |error: WheelhouseError| Failure::machine(error.to_string());
    let locks = write_delivered(&wheels, out, bring)
        .await
        .map_err(unwritten)?;
    write_runtime_packages(&wheels, out).map_err(unwritten)?;
    report.locks = locks;
    Ok(report)
}

fn failure_of(ended: &Ended) -> Failure {
    let message = if ended.failures.is_empty() {
        "the farm built nothing".to_owned()
    } else {
        ended.failures.join("; ")
    };
    Failure {
        exit: Exit::of_code(ended.exit),
        message: format!("at the farm: {message}"),
        hint: ended.hint.clone(),
    }
}

/// Refuses what only a build on this machine can do.
fn only_here(args: &BuildArgs, config: &Config) -> Result<(), Failure> {
    let provenance = args.report.provenance || args.report.sign_key.is_some();
    for (given, option) in [
        (args.keep_failed, "--keep-failed"),
        (args.add_missing, "--add-missing"),
        (args.compiler_cache, "--compiler-cache"),
        (args.check_reproducible, "--check-reproducible"),
        (args.selection.no_build_tag, "--no-build-tag"),
        (provenance || config.farm.provenance, "--provenance"),
    ] {
        if given {
            return Err(Failure::usage(format!(
                "`{option}` is for builds on this machine, not for a farm's"
            )));
        }
    }
    Ok(())
}

/// What the farm is asked for: everything that files say is read here and sent as values, hashes included.
fn request(args: &BuildArgs, inputs: &Inputs, config: &Config) -> Result<BuildRequest, Failure> {
    let hint = |hint: &str| Some(hint.to_owned());
    if let Some(source) = inputs.sources.first() {
        let place = source.place.shown();
        return Err(Failure::usage(format!(
            "`{place}` is on no index: a farm builds what its index has"
        ))
        .with_hint(hint(
            "build it here, or upload its source distribution to the farm's index",
        )));
    }
    if !inputs.locks.is_empty() || !inputs.uv_locks.is_empty() {
        return Err(Failure::usage("locks are not sent to a farm")
            .with_hint(hint("`uv export --format requirements-txt` writes the lock as requirements with hashes, which are")));
    }
    for python in &args.selection.python {
        for file in &inputs.pythons {
            file.check(*python)
                .map_err(wheelfarm_build::JobError::from)?;
        }
    }
    let or = |given: &[String], configured: &[String]| {
        if given.is_empty() {
            configured.to_vec()
        } else {
            given.to_vec()
        }
    };
    let selected = &args.selection;
    let farm = &config.farm;
    let (no_binary, only_binary) = inputs.formats.values();
    // Checks that the two do not contradict each other.
    selection::only_upstream(selected, &farm.only_upstream)?;
    Ok(BuildRequest {
        requirements: inputs.requirements.clone(),
        constraints: inputs.constraints.iter().map(Requirement::clone).collect(),
        hashes: inputs.hashes.allowed().clone(),
        require_hashes: inputs.hashes.required,
        no_binary,
        only_binary,
        prereleases: inputs.prereleases,
        cells: Vec::new(),
        python: if selected.python.is_empty() {
            farm.python.clone()
        } else {
            selected.python.clone()
        },
        targets: if selected.target.is_empty() {
            farm.targets.clone()
        } else {
            selected.target.clone()
        },
        images: or(&selected.image, &farm.images),
        from_source: or(&selected.from_source, &farm.from_source),
        only_upstream: or(&selected.only_upstream, &farm.only_upstream),
        no_deps: selected.no_deps,
        upgrade: selected.upgrade,
        retry_failed: args.retry_failed,
        no_prove: args.no_prove,
        channel: args.farm.publish.clone().unwrap_or_else(Channel::main),
        publish: args.farm.publish.is_some(),
    })
}
