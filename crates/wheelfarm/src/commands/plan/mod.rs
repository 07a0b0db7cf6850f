//! `wheelfarm plan`: what a build would do, before anything runs.

mod forms;
mod model;

use std::sync::Arc;

use wheelfarm_coordinator::BuildRequest;

use self::model::PlanReport;
use super::selection::{self, Pull};
use crate::cli::build::PlanArgs;
use crate::cli::{Format, GlobalArgs};
use crate::config::Config;
use crate::engine::Engine;
use crate::exit::{Exit, Failure};
use crate::index_settings;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::services::{self, Choices, Parts};
use crate::settings::{Places, cancellation};

pub(crate) async fn run(
    global: &GlobalArgs,
    args: Box<PlanArgs>,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let inputs = selection::inputs(&args.selection, &config)?;
    let places = Places::open(global, &config).await?;
    let (index, network) = index_settings::read(&inputs.index);
    let cancel = cancellation();
    let progress = Progress::new(printer);
    let (engine, _) = Engine::open(&places, &config, network).await?;
    let work = async {
        let parts = Parts {
            places: &places,
            index,
            engine: &engine,
            cancel: &cancel,
            observer: progress.observer(),
        };
        let selected = &args.selection;
        let environments = parts.engine.environments();
        let cells = selection::cells(
            selected,
            &config,
            &places.store,
            environments.as_ref(),
            Pull::Never,
        );
        let cells = cells.await?;
        let context = services::context(parts, selected, &config, &Choices::default()).await?;
        let exclude = [args.out.as_path()];
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
        // A plan is for looking: what is asked for meanwhile is not worth waiting for.
        let plan = cancel
            .run_until_cancelled(plan)
            .await
            .ok_or_else(|| Failure::usage("cancelled"))?;
        PlanReport::new(&context, &plan, args.explain).await
    };
    let report = work.await;
    progress.finish();
    engine.close().await;
    let report = report?;
    match global.format {
        Format::Json => printer.result(report.to_json()),
        Format::GithubMatrix => printer.result(report.github_matrix(args.per_package)),
        Format::Text => report.print(printer),
    }
    for failure in report.failures() {
        printer.error(&failure.message, failure.hint.as_deref());
    }
    Ok(report.exit())
}
