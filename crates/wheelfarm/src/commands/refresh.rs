//! `wheelfarm refresh`: which wheels hold libraries that have been updated since, and those wheels anew.

mod report;

use std::collections::BTreeSet;

use futures::future::join_all;
use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_build::pipeline::{self, Context};
use wheelfarm_build::refresh::{self, BuiltWheel, Outlook};
use wheelfarm_coordinator::{BuildRequest, BuiltWheel as NewWheel, FromSource};
use wheelfarm_resolve::Wanted;
use wheelfarm_resolve::inputs::IndexOptions;

use self::report::{Rebuilt, RefreshReport};
use crate::cli::build::SelectionArgs;
use crate::cli::refresh::RefreshArgs;
use crate::cli::{Format, GlobalArgs};
use crate::config::Config;
use crate::engine::Engine;
use crate::exit::{Exit, Failure};
use crate::index_settings;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::services::{self, Choices, Parts};
use crate::settings::{Places, cancellation, host_arch};

pub(crate) async fn run(
    global: &GlobalArgs,
    args: RefreshArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let places = Places::open(global, &config).await?;
    let (index, network) = index_settings::read(&IndexOptions::default());
    let cancel = cancellation();
    let progress = Progress::new(printer);
    let (engine, line) = Engine::open(&places, &config, network).await?;
    printer.note(line);
    let parts = Parts {
        places: &places,
        index,
        engine: &engine,
        cancel: &cancel,
        observer: progress.observer(),
    };
    let report = refresh(&args, &config, parts).await;
    progress.finish();
    engine.close().await;
    let report = report?;
    match global.format {
        Format::Json => printer.result(report.to_json()),
        Format::Text | Format::GithubMatrix => report.print(printer),
    }
    Ok(report.exit(cancel.is_cancelled()))
}

async fn refresh(
    args: &RefreshArgs,
    config: &Config,
    parts: Parts<'_>,
) -> Result<RefreshReport, Failure> {
    let mut catalogue = Catalogue::builtin(host_arch()?);
    wheelfarm_build::pythons::add_compiled(&mut catalogue, &parts.places.store).await?;
    let selection = SelectionArgs {
        uv_wheel: args.uv_wheel.clone(),
        ..SelectionArgs::default()
    };
    let choices = Choices {
        timeout: args.timeout,
        jobs: args.jobs,
        ..Choices::default()
    };
    let context = services::context(parts, &selection, config, &choices).await?;
    let projects = args.projects.iter().cloned().collect();
    let outlook = refresh::look(&context, &catalogue, &projects).await?;
    let rebuilt = if args.rebuild {
        Some(rebuild(&context, &outlook).await?)
    } else {
        None
    };
    Ok(RefreshReport { outlook, rebuilt })
}

/// Files the environments of stale wheels anew, and builds just those wheels in them.
async fn rebuild(context: &Context, outlook: &Outlook) -> Result<Vec<Rebuilt>, Failure> {
    let stale = outlook.stale.iter().map(|(wheel, _)| wheel.recipe.line());
    let stale: BTreeSet<_> = stale.collect();
    let lines = outlook.lines.iter();
    for line in lines.filter(|line| stale.contains(&line.recipe.line())) {
        pipeline::renew(context, &line.recipe.name(), &line.image, &line.recipe).await?;
    }
    let builds = outlook.stale.iter().map(|(wheel, _)| build(context, wheel));
    Ok(join_all(builds).await)
}

async fn build(context: &Context, old: &BuiltWheel) -> Rebuilt {
    let exactly = format!("{}=={}", old.project, old.version);
    let mut wanted = Wanted::default();
    // A project's name and version always make a requirement.
    wanted.requirements.extend(exactly.parse().ok());
    let request = BuildRequest {
        wanted,
        cells: vec![old.cell.clone().into()],
        from_source: FromSource::Only([old.project.clone()].into()),
        only_upstream: BTreeSet::new(),
        prove: true,
        check_reproducible: false,
    };
    let report = wheelfarm_coordinator::run(context, &request).await;
    let is_ours = |wheel: &NewWheel| wheel.artifact.project == old.project;
    Rebuilt {
        old: old.record.filename.to_string(),
        new: report.wheels.into_iter().find(is_ours),
        failures: report.failures,
    }
}
