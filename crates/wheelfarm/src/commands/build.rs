//! `wheelfarm build`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use wheelfarm_coordinator::{BuildRequest, write_wheelhouse};
use wheelfarm_resolve::inputs::Inputs;
use wheelfarm_types::ProjectName;

use super::build_report::{BuildReport, Delivery, Totals};
use super::{provenance, publish_built, selection};
use crate::cli::GlobalArgs;
use crate::cli::build::BuildArgs;
use crate::config::{Config, ExecutorChoice};
use crate::dsse::SigningKey;
use crate::engine::Engine;
use crate::exit::{Exit, Failure};
use crate::index_settings;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::services::{self, Choices, Parts};
use crate::settings::{Places, cancellation};

pub(crate) async fn run(
    global: &GlobalArgs,
    args: Box<BuildArgs>,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    // What cannot be meant is said before anything is opened or started.
    let inputs = selection::inputs(&args.selection, &config)?;
    check_writable(&args.out)?;
    check_executor(&args, &config)?;
    if let Some(address) = &args.farm.farm {
        return super::build_at_farm::run(global, &args, &inputs, &config, address, printer).await;
    }
    let key = args
        .report
        .sign_key
        .as_ref()
        .or(config.farm.sign_key.as_ref());
    let key = key.map(|path| SigningKey::read(path)).transpose()?;
    let provenance_wanted = args.report.provenance || config.farm.provenance || key.is_some();
    let places = Places::open(global, &config).await?;
    let (index, network) = index_settings::read(&inputs.index);
    let cancel = cancellation();
    let progress = Progress::with_events(printer, args.report.events.as_deref())?;
    let (engine, line) = Engine::open(&places, &config, network).await?;
    printer.note(line);
    let parts = Parts {
        places: &places,
        index,
        engine: &engine,
        cancel: &cancel,
        observer: progress.observer(),
    };
    let built = build(&args, &inputs, &config, parts, printer).await;
    progress.finish();
    engine.close().await;
    let (report, downloaded) = built?;

    // What was built is written even if something else failed.
    let locks = write_wheelhouse(&places.store, &report.wheels, &args.out)
        .await
        .map_err(|error| Failure::machine(error.to_string()))?;
    let is_published = match &args.farm.publish {
        Some(channel) => {
            publish_built::publish(&places.store, &report.wheels, channel, &config, printer).await?
        }
        None => true,
    };
    let provenance = if provenance_wanted {
        provenance::write(&places.store, &report.wheels, &args.out, key.as_ref()).await?
    } else {
        Vec::new()
    };
    let whole = selection::is_whole(&args.selection) && report.failures.is_empty();
    let unused = if whole {
        config.unused(&met(&report))
    } else {
        Vec::new()
    };
    let totals = Totals {
        containers: engine.executor().started(),
        hits: engine.executor().hits(),
        downloaded,
        seconds: progress.seconds(),
    };
    let mut report = BuildReport::new(report, &args.out, locks, progress.steps(), &totals);
    report.provenance = provenance;
    report.unused = unused;
    let delivery = Delivery {
        store: &places.store,
        format: global.format,
        stdout_taken: args.report.events.as_deref() == Some(Path::new("-")),
        junit: args.report.junit.as_deref(),
        printer,
    };
    delivery.send(&report).await?;
    progress.report(&report.to_json());
    Ok(match report.exit(cancel.is_cancelled()) {
        Exit::Ok if !is_published => Exit::Finding,
        exit => exit,
    })
}

/// Every project that was wanted or built, with its cell.
fn met(report: &wheelfarm_coordinator::Report) -> BTreeSet<(ProjectName, String)> {
    let mut met = BTreeSet::new();
    for wheel in &report.wheels {
        let mut artifacts = vec![&wheel.artifact];
        while let Some(artifact) = artifacts.pop() {
            met.insert((artifact.project.clone(), wheel.cell.id()));
            artifacts.extend(&artifact.requires);
        }
    }
    met
}

async fn build(
    args: &BuildArgs,
    inputs: &Inputs,
    config: &Config,
    parts: Parts<'_>,
    printer: Printer,
) -> Result<(wheelfarm_coordinator::Report, u64), Failure> {
    let selected = &args.selection;
    let cells = selection::cells(
        selected,
        config,
        &parts.places.store,
        parts.engine.environments().as_ref(),
        selection::Pull::Default(parts.cancel, &parts.observer),
    )
    .await?;
    for name in selection::emulated(&cells) {
        printer.note(format_args!(
            "{name} is emulated on this machine: what runs in it takes 15 to 25 times as long"
        ));
    }
    let context = services::context(
        parts,
        selected,
        config,
        &Choices {
            timeout: args.timeout,
            jobs: args.jobs,
            retry_failed: args.retry_failed,
            keep_failed: args.keep_failed,
            add_missing: args.add_missing,
            compiler_cache: args.compiler_cache,
        },
    )
    .await?;
    let exclude = [args.out.as_path()];
    let wanted = selection::wanted(selected, inputs, &context, &exclude).await?;
    let request = BuildRequest {
        wanted,
        cells: cells.into_iter().map(Arc::new).collect(),
        from_source: selection::from_source(selected, &config.farm.from_source)?,
        only_upstream: selection::only_upstream(selected, &config.farm.only_upstream)?,
        prove: !args.no_prove,
        check_reproducible: args.check_reproducible,
    };
    let report = wheelfarm_coordinator::run(&context, &request).await;
    Ok((report, context.fetcher.downloaded()))
}

/// What an executor cannot do is said before anything is opened or started.
fn check_executor(args: &BuildArgs, config: &Config) -> Result<(), Failure> {
    if config.farm.executor != Some(ExecutorChoice::Reapi) {
        return Ok(());
    }
    let wanted = [
        ("--keep-failed", args.keep_failed),
        (
            "--compiler-cache",
            args.compiler_cache || config.farm.compiler_cache,
        ),
    ];
    match wanted.iter().find(|(_, wanted)| *wanted) {
        Some((option, _)) => Err(Failure::usage(format!(
            "`{option}` needs a container engine: a Remote Execution cluster keeps nothing of an action but its outputs"
        ))
        .with_hint(Some(
            "build this one with `--executor docker`, or leave it out".to_owned(),
        ))),
        None => Ok(()),
    }
}

/// Minutes of work must not end with a directory that cannot be written.
fn check_writable(out: &Path) -> Result<(), Failure> {
    let check = || {
        fs_err::create_dir_all(out)?;
        let probe = out.join(format!(".wheelfarm-{}", std::process::id()));
        fs_err::write(&probe, "")?;
        fs_err::remove_file(&probe)
    };
    check().map_err(|error| {
        Failure::machine(format!("the wheels could not be written: {error}")).with_hint(Some(
            "name a directory that you may write with `--out`".to_owned(),
        ))
    })
}
