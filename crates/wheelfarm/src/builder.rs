//! What the index server builds with: `wheelfarm build` without a terminal, one engine and one context for each build.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::pipeline::Origin;
use wheelfarm_build::{Observer, history};
use wheelfarm_coordinator::Report;
use wheelfarm_index::{
    BuildFailure, BuildOutcome, BuildRequest, BuildSettings, Builder, Builds, FarmWheel,
    RequestError, parse_cell,
};
use wheelfarm_resolve::inputs::{IndexOptions, Inputs, Wish};
use wheelfarm_types::{Digest, ProjectName, Requirement};

use crate::cli::build::SelectionArgs;
use crate::cli::serve_builds::ServeBuildsArgs;
use crate::commands::build_report::{BuildReport, Totals};
use crate::commands::selection::{self, Pull};
use crate::config::Config;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::index_settings;
use crate::progress::Step;
use crate::services::{self, Choices, Parts};
use crate::settings::Places;

/// How long what can be built for is remembered: images come and go seldom.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Builds with the container engine of this machine, which is looked for when something is to be built.
struct Farm {
    places: Places,
    config: Config,
    uv_wheel: Option<PathBuf>,
    cells: tokio::sync::Mutex<Option<(Instant, Vec<String>)>>,
}

/// The queue that a server's builds wait in; none if it shall not build.
pub(crate) fn queue(
    args: &ServeBuildsArgs,
    places: &Places,
    config: &Config,
    stop: &CancellationToken,
) -> Result<Option<Arc<Builds>>, Failure> {
    if args.no_builds {
        return Ok(None);
    }
    let on_demand = match &args.build_on_demand {
        None => alone(&config.index.builds.on_demand),
        Some(names) if names.is_empty() => named(config)?,
        Some(names) => alone(names),
    };
    if args.build_on_demand.is_some() && on_demand.is_empty() {
        return Err(Failure::usage("there is nothing to build on demand").with_hint(Some(
            "name projects: `--build-on-demand=psycopg2,lxml`, or requirements in `[farm]` of wheelfarm.toml"
                .to_owned(),
        )));
    }
    let defaults = BuildSettings::default();
    let settings = BuildSettings {
        at_once: args
            .builds
            .or(config.index.builds.at_once)
            .map_or(defaults.at_once, NonZeroUsize::get),
        direct_urls: config.index.builds.direct_urls,
        on_demand,
        ..defaults
    };
    let farm = Farm {
        places: places.clone(),
        config: config.clone(),
        uv_wheel: args.uv_wheel.clone(),
        cells: tokio::sync::Mutex::default(),
    };
    let builds = Builds::new(Arc::new(OnThreads(Arc::new(farm))), settings, stop.clone());
    Ok(Some(Arc::new(builds)))
}

/// Projects with nothing said about their versions.
fn alone<'a>(
    names: impl IntoIterator<Item = &'a ProjectName>,
) -> BTreeMap<ProjectName, Requirement> {
    // A project's name is a requirement.
    let wanted = |name: &ProjectName| Some((name.clone(), name.as_str().parse().ok()?));
    names.into_iter().filter_map(wanted).collect()
}

/// The projects that the configuration names: those of `on-demand`, of every `[package.*]`, and of `[farm]
/// requirements`, with the versions that these ask for.
fn named(config: &Config) -> Result<BTreeMap<ProjectName, Requirement>, Failure> {
    let mut named = alone(&config.index.builds.on_demand);
    named.extend(alone(config.package.keys()));
    if !config.farm.requirements.is_empty() {
        let inputs = selection::inputs(&SelectionArgs::default(), config)?;
        let wanted = inputs.requirements.into_iter();
        named.extend(wanted.map(|requirement| (requirement.name().clone(), requirement)));
    }
    Ok(named)
}

impl Farm {
    /// What `request` would be on the command line, as far as the command line has words for it.
    fn selection(&self, request: &BuildRequest) -> SelectionArgs {
        SelectionArgs {
            python: request.python.clone(),
            target: request.targets.clone(),
            image: request.images.clone(),
            from_source: request.from_source.clone(),
            only_upstream: request.only_upstream.clone(),
            no_deps: request.no_deps,
            upgrade: request.upgrade,
            uv_wheel: self.uv_wheel.clone(),
            ..SelectionArgs::default()
        }
    }

    async fn run(
        &self,
        request: &BuildRequest,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Result<BuildOutcome, Failure> {
        let began = Instant::now();
        let inputs = inputs(request).map_err(|error| Failure::usage(error.to_string()))?;
        let (index, network) = index_settings::read(&IndexOptions::default());
        let (engine, _) = Engine::open(&self.places, &self.config, network).await?;
        let steps = Arc::new(Mutex::new(Vec::new()));
        let parts = Parts {
            places: &self.places,
            index,
            engine: &engine,
            cancel: &cancel,
            observer: counting(observer, Arc::clone(&steps)),
        };
        let built = Box::pin(self.with_engine(request, &inputs, parts)).await;
        engine.close().await;
        let (report, downloaded) = built?;
        let wheels = wheels(&report);
        let logs = report.failures.iter();
        let logs = logs
            .filter_map(|failure| Some((failure.job.clone(), failure.error.log?)))
            .collect();
        let failures = report.failures.iter();
        let failures = failures
            .map(|failure| format!("{}: {}", failure.job, failure.error.message))
            .collect();
        let steps = std::mem::take(&mut *steps.lock().unwrap_or_else(PoisonError::into_inner));
        let totals = Totals {
            containers: engine.executor().started(),
            hits: engine.executor().hits(),
            downloaded,
            seconds: began.elapsed().as_secs_f64(),
        };
        let report = BuildReport::new(report, Path::new(""), Vec::new(), steps, &totals);
        Ok(BuildOutcome {
            exit: report.exit(cancel.is_cancelled()) as u8,
            report: report.to_json(),
            failures,
            wheels,
            logs,
        })
    }

    async fn with_engine(
        &self,
        request: &BuildRequest,
        inputs: &Inputs,
        parts: Parts<'_>,
    ) -> Result<(Report, u64), Failure> {
        let args = self.selection(request);
        let pull = || Pull::Default(parts.cancel, &parts.observer);
        let mut cells = Vec::new();
        if request.cells.is_empty() {
            cells = self.select(&args, parts.engine, pull()).await?;
        }
        for cell in &request.cells {
            // A checked request has no others.
            let Some((python, target)) = parse_cell(cell) else {
                continue;
            };
            let args = SelectionArgs {
                python: vec![python],
                target: vec![target],
                image: args.image.clone(),
                ..SelectionArgs::default()
            };
            cells.extend(self.select(&args, parts.engine, pull()).await?);
        }
        let choices = Choices {
            retry_failed: request.retry_failed,
            ..Choices::default()
        };
        let context = services::context(parts, &args, &self.config, &choices).await?;
        let farm = &self.config.farm;
        let request = wheelfarm_coordinator::BuildRequest {
            wanted: selection::wanted(&args, inputs, &context, &[]).await?,
            cells: cells.into_iter().map(Arc::new).collect(),
            from_source: selection::from_source(&args, &farm.from_source)?,
            only_upstream: selection::only_upstream(&args, &farm.only_upstream)?,
            prove: !request.no_prove,
            check_reproducible: false,
        };
        let report = wheelfarm_coordinator::run(&context, &request).await;
        Ok((report, context.fetcher.downloaded()))
    }

    async fn select(
        &self,
        args: &SelectionArgs,
        engine: &Engine,
        pull: Pull<'_>,
    ) -> Result<Vec<wheelfarm_build::matrix::Cell>, Failure> {
        selection::cells(
            args,
            &self.config,
            &self.places.store,
            engine.environments().as_ref(),
            pull,
        )
        .await
    }

    async fn list_cells(&self) -> Result<Vec<String>, Failure> {
        let mut remembered = self.cells.lock().await;
        if let Some((when, cells)) = &*remembered
            && when.elapsed() < REMEMBERED
        {
            return Ok(cells.clone());
        }
        let (_, network) = index_settings::read(&IndexOptions::default());
        let (engine, _) = Engine::open(&self.places, &self.config, network).await?;
        let cells = self
            .select(&SelectionArgs::default(), &engine, Pull::Never)
            .await;
        engine.close().await;
        let cells: Vec<String> = cells?
            .iter()
            .map(wheelfarm_build::matrix::Cell::id)
            .collect();
        *remembered = Some((Instant::now(), cells.clone()));
        Ok(cells)
    }
}

/// The same for a server, whose tasks go from thread to thread.
struct OnThreads(Arc<Farm>);

impl Builder for OnThreads {
    fn cells(&self) -> BoxFuture<'_, Result<Vec<String>, BuildFailure>> {
        let farm = Arc::clone(&self.0);
        on_a_thread(async move || farm.list_cells().await)
    }

    fn build<'a>(
        &'a self,
        request: &'a BuildRequest,
        observer: Observer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<BuildOutcome, BuildFailure>> {
        let (farm, request) = (Arc::clone(&self.0), request.clone());
        on_a_thread(async move || farm.run(&request, observer, cancel).await)
    }

    fn log<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Option<Digest>> {
        async move {
            let mut words = job.split(' ');
            let project: ProjectName = words.next()?.parse().ok()?;
            let cell = words.nth(1)?;
            // A store that does not answer has no log for us; what was said is shown instead.
            let last = history::latest(&self.0.places.store, &project, cell)
                .await
                .ok()??;
            Some(last.log)
        }
        .boxed()
    }
}

/// Runs `work` on a thread of its own: its future never leaves it, so it need not be one that can.
fn on_a_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T, Failure> + Send + 'static,
) -> BoxFuture<'static, Result<T, BuildFailure>> {
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(work()).map_err(failed));
    async move {
        match done.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(failed(Failure::machine("the server is stopping"))),
            },
        }
    }
    .boxed()
}

fn failed(failure: Failure) -> BuildFailure {
    BuildFailure {
        message: failure.message,
        hint: failure.hint,
        exit: failure.exit as u8,
    }
}

/// What a request asks for, as if files had said it.
fn inputs(request: &BuildRequest) -> Result<Inputs, RequestError> {
    let malformed =
        |error: wheelfarm_resolve::ResolveError| RequestError::Malformed(error.to_string());
    let mut inputs = Inputs {
        constraints: request.constraints.clone(),
        formats: request.formats()?,
        prereleases: request.prereleases,
        ..Inputs::default()
    };
    for requirement in &request.requirements {
        inputs.add(Wish::parse(requirement.as_str(), Path::new("")).map_err(malformed)?);
    }
    inputs.hashes.required = request.require_hashes;
    for (project, digests) in &request.hashes {
        inputs.hashes.allow(project, digests.iter().copied());
    }
    Ok(inputs)
}

/// Passes events on and keeps what took time.
fn counting(observer: Observer, steps: Arc<Mutex<Vec<Step>>>) -> Observer {
    Arc::new(move |event| {
        steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(Step::of(&event));
        observer(event);
    })
}

/// Every wheel, each once, however many cells it is for.
fn wheels(report: &Report) -> Vec<FarmWheel> {
    let mut wheels: Vec<FarmWheel> = report
        .wheels
        .iter()
        .map(|wheel| FarmWheel {
            project: wheel.artifact.project.clone(),
            filename: wheel.artifact.filename.clone(),
            blob: wheel.artifact.wheel,
            size: wheel.artifact.size,
            is_ours: wheel.artifact.origin != Origin::Index,
        })
        .collect();
    wheels.sort_by_key(|wheel| wheel.filename.to_string());
    wheels.dedup_by(|a, b| a.filename == b.filename);
    wheels
}
