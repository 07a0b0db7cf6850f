//! `wheelfarm export`: what a runtime stage installs, out of the store alone.

mod bytecode;
mod check;
mod found;
mod image;
mod push;
mod python_tree;
mod report;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wheelfarm_coordinator::{BuildRequest, Placing, WheelhouseError, place_wheelhouse};

use self::found::Found;
use self::report::ExportReport;
use super::selection::{self, Pull};
use crate::cli::export::ExportArgs;
use crate::cli::{Format, GlobalArgs};
use crate::config::Config;
use crate::engine::Engine;
use crate::exit::{Exit, Failure};
use crate::index_settings;
use crate::no_engine::NoEngine;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::services::{self, Choices, Parts};
use crate::settings::{Places, cancellation};

/// What is to be written, and with what.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    args: &'a ExportArgs,
    places: &'a Places,
    found: &'a Found,
    printer: Printer,
    cancel: &'a CancellationToken,
}

pub(crate) async fn run(
    global: &GlobalArgs,
    args: Box<ExportArgs>,
    printer: Printer,
) -> Result<Exit, Failure> {
    if args.tag.is_some() && !image::is_wanted(&args) {
        return Err(
            Failure::usage("`--tag` names an image, and none is asked for")
                .with_hint(Some("`--load`, `--push` or `--oci` make one".to_owned())),
        );
    }
    if args.interpreter.is_some() && !tree::is_wanted(&args) && args.check.is_empty() {
        return Err(Failure::usage(
            "`--interpreter` is for a tree or a check, and none is asked for",
        )
        .with_hint(Some(
            "`--site` or `--venv` make one, `--check` does the other".to_owned(),
        )));
    }
    if args.bytecode && !tree::is_wanted(&args) {
        return Err(
            Failure::usage("`--bytecode` is for a tree, and none is asked for")
                .with_hint(Some("`--site` or `--venv` make one".to_owned())),
        );
    }
    let config = Config::load(global)?;
    let places = Places::open(global, &config).await?;
    let progress = Progress::new(printer);
    let cancel = cancellation();
    let found = find(&args, &config, &places, &progress, &cancel).await;
    progress.finish();
    let found = found?;
    let mut report = ExportReport::new(&found);
    if found.is_whole() && !args.check.is_empty() {
        report.checks = check::check(&args, &places, &found, printer, &cancel).await?;
    }
    if found.is_whole() && report.is_runnable() {
        let wanted = Wanted {
            args: &args,
            places: &places,
            found: &found,
            printer,
            cancel: &cancel,
        };
        deliver(wanted, &mut report).await?;
    }
    match global.format {
        Format::Json => printer.result(report.to_json()),
        _ => report.print(printer),
    }
    found.complain(printer);
    if !report.is_runnable() {
        report.complain(printer);
        return Ok(Exit::Finding);
    }
    Ok(found.exit())
}

/// What the store has of what is asked for. Locks that builds left there are taken, however old they are.
async fn find(
    args: &ExportArgs,
    config: &Config,
    places: &Places,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Found, Failure> {
    let selected = &args.selection;
    let inputs = selection::inputs(selected, config)?;
    let (index, _) = index_settings::read(&inputs.index);
    let engine = Engine::none();
    let cells = selection::cells(selected, config, &places.store, &NoEngine, Pull::Never).await?;
    let parts = Parts {
        places,
        index,
        engine: &engine,
        cancel,
        observer: progress.observer(),
    };
    let mut context = services::context(parts, selected, config, &Choices::default()).await?;
    if !selected.upgrade {
        context.freshness.locks_not_before = 0;
    }
    let written = [
        out(args),
        args.oci.clone(),
        args.site.clone(),
        args.venv.clone(),
        args.python_tree.clone(),
    ];
    let exclude: Vec<_> = written.iter().flatten().map(PathBuf::as_path).collect();
    let wanted = selection::wanted(selected, &inputs, &context, &exclude).await?;
    let request = BuildRequest {
        wanted,
        cells: cells.into_iter().map(Arc::new).collect(),
        from_source: selection::from_source(selected, &config.farm.from_source)?,
        only_upstream: selection::only_upstream(selected, &config.farm.only_upstream)?,
        prove: false,
        check_reproducible: false,
    };
    let plan = wheelfarm_coordinator::plan(&context, &request);
    let plan = cancel.run_until_cancelled(plan).await;
    let plan = plan.ok_or_else(|| Failure {
        exit: Exit::Interrupted,
        ..Failure::usage("cancelled")
    })?;
    Found::new(&places.store, plan, !args.no_prove).await
}

/// Writes what was found, in all forms that are asked for.
async fn deliver(wanted: Wanted<'_>, report: &mut ExportReport) -> Result<(), Failure> {
    let Wanted {
        args,
        places,
        found,
        ..
    } = wanted;
    if let Some(out) = out(args) {
        let placing = if args.hard_links {
            Placing::HardLink
        } else {
            Placing::Copy
        };
        let wheels = &found.delivered();
        let locks = place_wheelhouse(&places.store, wheels, &out, placing).await;
        report.wheelhouse(&out, locks.map_err(failed)?);
    }
    if image::is_wanted(args) {
        report.image = Some(image::deliver(wanted).await?);
    }
    if let Some(directory) = &args.python_tree {
        report.python_tree = Some(python_tree::deliver(wanted, directory).await?);
    }
    if tree::is_wanted(args) {
        report.trees = tree::deliver(wanted).await?;
    }
    Ok(())
}

/// Where the wheelhouse is written, if it is.
fn out(args: &ExportArgs) -> Option<PathBuf> {
    let other = image::is_wanted(args)
        || tree::is_wanted(args)
        || args.python_tree.is_some()
        || !args.check.is_empty();
    let default = (!other).then(|| PathBuf::from("wheelhouse"));
    args.out.clone().or(default)
}

fn failed(error: WheelhouseError) -> Failure {
    match error {
        WheelhouseError::TwoContents(_) => Failure::finding(error.to_string()).with_hint(Some(
            "export their cells to directories of their own".to_owned(),
        )),
        WheelhouseError::Store(error) => error.into(),
        error => Failure::machine(error.to_string()),
    }
}
