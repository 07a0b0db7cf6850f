//! `wheelfarm build`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, Limits};
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageSource};
use wheelfarm_build::matrix::{self, Cell, Selection};
use wheelfarm_build::pipeline::{Context, Flights, Freshness};
use wheelfarm_build::recipes::Recipes;
use wheelfarm_build::{Environments, Executor, log_of};
use wheelfarm_coordinator::{BuildRequest, FromSource, write_wheelhouse};
use wheelfarm_executor::Docker;
use wheelfarm_resolve::{Fetcher, Resolver, Uv};
use wheelfarm_types::Requirement;

use super::build_report::BuildReport;
use super::requirement_files;
use crate::cli::{BuildArgs, Format, GlobalArgs};
use crate::config::{Config, seconds};
use crate::environment::now;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::progress::Progress;
use crate::settings::{Places, cancellation, engine, host_arch};
use crate::{index_settings, settings};

/// A lock of requirements is taken from the store for so long, in seconds; `--upgrade` resolves at once.
const LOCK_AGE: u64 = 24 * 3600;

pub(crate) async fn run(
    global: &GlobalArgs,
    args: Box<BuildArgs>,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global.config.as_deref())?;
    let (requirements, constraints) = wanted(&args, &config)?;
    check_writable(&args.out)?;
    let places = Places::open(global, &config).await?;
    let (index, network) = index_settings::read();
    let cancel = cancellation();
    let progress = Progress::new(printer);
    let docker = Arc::new(engine(&places, network).await?);
    let built = build(
        &args,
        config,
        &places,
        index,
        &docker,
        (requirements, constraints),
        &cancel,
        &progress,
    )
    .await;
    progress.finish();
    docker.close().await;
    let (report, downloaded) = built?;

    // What was built is written even if something else failed.
    let locks = write_wheelhouse(&places.store, &report.wheels, &args.out)
        .await
        .map_err(|error| Failure::machine(error.to_string()))?;
    let report = BuildReport {
        store: places.store,
        report,
        locks,
        out: args.out,
        steps: progress.steps(),
        containers: docker.started(),
        downloaded,
        seconds: progress.seconds(),
    };
    match global.format {
        Format::Json => printer.result(report.to_json()),
        Format::Text => report.print(printer),
    }
    report.print_failures(printer);
    report.print_summary(printer);
    Ok(report.exit(cancel.is_cancelled()))
}

#[allow(
    clippy::too_many_arguments,
    reason = "the services of one run, put together once"
)]
async fn build(
    args: &BuildArgs,
    config: Config,
    places: &Places,
    index: wheelfarm_resolve::IndexSettings,
    docker: &Arc<Docker>,
    (requirements, constraints): (Vec<Requirement>, Vec<Requirement>),
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<(wheelfarm_coordinator::Report, u64), Failure> {
    let job_error = wheelfarm_build::JobError::from;
    let cells = cells(args, &config, docker.as_ref(), cancel, progress).await?;
    let arch = settings::host_arch()?;
    let uv = Uv::obtain(
        &places.store,
        &places.cache.join("tools"),
        arch,
        args.uv_wheel.as_deref(),
    )
    .await
    .map_err(job_error)?;
    let fetcher = Fetcher::new(index.clone(), places.store.clone()).map_err(job_error)?;
    let mut recipes = Recipes::builtin();
    recipes.overlay(config.package);
    let timeout = match (args.timeout, &config.farm.timeout) {
        (Some(seconds), _) => seconds,
        (None, Some(text)) => seconds(text)?,
        (None, None) => 1800,
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let now = now();
    let context = Context {
        store: places.store.clone(),
        resolver: Resolver {
            store: places.store.clone(),
            uv,
            cache: places.cache.clone(),
            settings: index,
        },
        fetcher: fetcher.clone(),
        executor: Arc::clone(docker) as Arc<dyn Executor>,
        environments: Arc::clone(docker) as Arc<dyn Environments>,
        recipes,
        cache: places.cache.clone(),
        limits: limits(cores, timeout),
        freshness: Freshness {
            now,
            locks_not_before: if args.upgrade {
                now
            } else {
                now.saturating_sub(LOCK_AGE)
            },
            build_requires_not_before: if args.upgrade { now } else { 0 },
        },
        build_tag: !args.no_build_tag,
        observer: progress.observer(),
        cancel: cancel.clone(),
        flights: Flights::default(),
    };
    let request = BuildRequest {
        requirements,
        constraints,
        cells,
        from_source: from_source(args, &config.farm.from_source)?,
        no_dependencies: args.no_deps,
        jobs: args.jobs.unwrap_or(cores),
        prove: !args.no_prove,
    };
    Ok((
        wheelfarm_coordinator::run(&context, &request).await,
        fetcher.downloaded(),
    ))
}

fn limits(cores: usize, timeout: u64) -> Limits {
    let cores = u16::try_from(cores).unwrap_or(u16::MAX);
    Limits {
        cores: f64::from(cores),
        memory: 4 << 30,
        pids: 4096,
        time: Duration::from_secs(timeout),
        scratch: 3 << 30,
        output: 2 << 30,
        log: 16 << 20,
    }
}

fn wanted(
    args: &BuildArgs,
    config: &Config,
) -> Result<(Vec<Requirement>, Vec<Requirement>), Failure> {
    let mut requirements = args.requirements.clone();
    let mut constraints = Vec::new();
    let from_config = requirements.is_empty() && args.requirement_files.is_empty();
    let files = if from_config {
        &config.farm.requirements
    } else {
        &args.requirement_files
    };
    for file in files {
        let found = requirement_files::read(file)?;
        requirements.extend(found.requirements);
        constraints.extend(found.constraints);
    }
    for file in &args.constraint_files {
        let found = requirement_files::read(file)?;
        constraints.extend(found.requirements);
        constraints.extend(found.constraints);
    }
    if requirements.is_empty() {
        return Err(Failure::usage("there is nothing to build")
            .with_hint(Some("name a package, as in `wheelfarm build psycopg2`, or a file with `-r requirements.txt`".to_owned())));
    }
    Ok((requirements, constraints))
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

fn from_source(args: &BuildArgs, config: &[String]) -> Result<FromSource, Failure> {
    let names = if args.from_source.is_empty() {
        config
    } else {
        &args.from_source
    };
    if names.iter().any(|name| name == "all") {
        return Ok(FromSource::All);
    }
    let parse = |name: &String| {
        name.parse()
            .map_err(|error| Failure::usage(format!("--from-source: {error}")))
    };
    let projects: Result<BTreeSet<_>, Failure> = names.iter().map(parse).collect();
    Ok(FromSource::Only(projects?))
}

/// The matrix: with images that are here, or else the catalogue's default, pulled now.
async fn cells(
    args: &BuildArgs,
    config: &Config,
    docker: &dyn Environments,
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<Vec<Cell>, Failure> {
    let catalogue = Catalogue::builtin(host_arch()?);
    let mut available = Vec::new();
    for image in catalogue.images() {
        if docker.image(image).await?.is_some() {
            available.push(image.clone());
        }
    }
    let or = |given: &[_], configured: &[_]| {
        if given.is_empty() {
            configured.to_vec()
        } else {
            given.to_vec()
        }
    };
    let selection = Selection {
        images: args.image.clone(),
        pythons: or(&args.python, &config.farm.python),
        targets: if args.target.is_empty() {
            config.farm.targets.clone()
        } else {
            args.target.clone()
        },
    };
    if available.is_empty() && selection.images.is_empty() {
        available.push(pull_default(&catalogue, docker, cancel, progress).await?);
    }
    matrix::select(&catalogue, &available, &selection).map_err(|error| {
        let hint = error.hint();
        Failure::usage(error.to_string()).with_hint(hint)
    })
}

async fn pull_default(
    catalogue: &Catalogue,
    docker: &dyn Environments,
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<BuilderImage, Failure> {
    let Some(image) = catalogue.images().iter().find(|image| image.default) else {
        return Err(Failure::machine(
            "there is no builder image here, and none is published for this architecture",
        ));
    };
    let log = log_of(&progress.observer(), &format!("image {}", image.name));
    match docker.ensure_image(image, log, cancel).await {
        Ok(_) => Ok(image.clone()),
        Err(error) if error.kind == ExecutorErrorKind::RegistryUnavailable => {
            let made = catalogue
                .images()
                .iter()
                .filter(|image| matches!(image.source, ImageSource::Debian { .. }))
                .find(|image| image.name == "debian-12");
            let message = format!(
                "there is no builder image on this machine, and pulling one failed: {}",
                error.message
            );
            Err(Failure::machine(message).with_hint(made.map(|image| {
                format!(
                    "make one from Debian packages, without a registry: `{}`",
                    image.command()
                )
            })))
        }
        Err(error) => Err(error.into()),
    }
}
