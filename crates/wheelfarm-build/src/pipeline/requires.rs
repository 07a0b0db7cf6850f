//! The build requirements of a source distribution: stated and dynamic ones, resolved to wheels by hash.
//!
//! Wheels of the index are preferred: only where no set of them meets the requirements, source distributions are
//! taken too, and what has no wheel is a job of its own, for the builder's own target, with build requirements of
//! its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use wheelfarm_resolve::{
    BuildSystem, CompileOptions, CompileRequest, Lock, LockedFile, ResolveErrorKind, SOURCE_LIMIT,
    build_system,
};
use wheelfarm_types::{Digest, Requirement, SdistFilename, WheelFilename};

use super::chain::Chain;
use super::context::{Context, run_cpu};
use super::memo::Pinned;
use super::resolve::{Attempt, Told, attempt};
use super::{Artifact, Choice, Job, Next, Origin, Purpose};
use crate::error::JobError;
use crate::event::{Event, Stage};
use crate::matrix::Cell;
use crate::recipes::{Patch, Recipe};
use crate::records::{BUILD_SCHEMA, RequiresInputs, RequiresRecord, SourceRecord, kind};

/// Build requirements as wheels.
#[derive(Debug, Clone, Default)]
pub(super) struct BuildRequires {
    /// Of the index.
    pub(super) wheels: Vec<LockedFile<WheelFilename>>,
    /// Built, since the index has none; in the store.
    pub(super) built: Vec<Artifact>,
}

/// How far build requirements are.
#[derive(Debug)]
pub(super) enum Requires {
    /// Every one has a wheel.
    Known(Arc<BuildRequires>),
    /// These have to be built first.
    Missing(Vec<Job>),
}

impl BuildRequires {
    /// All wheels by name and digest.
    pub(super) fn files(&self) -> impl Iterator<Item = (&WheelFilename, Digest)> {
        let wheels = self
            .wheels
            .iter()
            .map(|wheel| (&wheel.filename, wheel.sha256));
        let built = self
            .built
            .iter()
            .map(|artifact| (&artifact.filename, artifact.wheel));
        wheels.chain(built)
    }
}

/// What the source says of how it is built: from the store, or read from the source distribution.
pub(super) async fn build_system_of(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
) -> Result<BuildSystem, JobError> {
    let key = job.source_key(sdist);
    if let Some(record) = context
        .store
        .record::<SourceRecord>(kind::SOURCE, &key)
        .await?
    {
        return Ok(record.build_system);
    }
    let lane = context.fetching().await?;
    let fetch = async {
        let digest = context.fetcher.fetch(sdist).await?;
        Ok(context.store.get_up_to(&digest, SOURCE_LIMIT).await?)
    };
    let (bytes, _) = context.staged(&job.id(), Stage::Fetch, fetch).await?;
    drop(lane);
    let filename = sdist.filename.clone();
    let subdirectory = job.subdirectory().map(str::to_owned);
    let record = SourceRecord {
        build_system: run_cpu(move || {
            Ok(build_system(&filename, &bytes, subdirectory.as_deref())?)
        })
        .await?,
    };
    context
        .store
        .create_record(kind::SOURCE, &key, &record)
        .await?;
    Ok(record.build_system)
}

/// Under which key the back end's dynamic requirements are filed.
pub(super) fn dynamic_key(
    job: &Job,
    source: Digest,
    environment: &Pinned,
    recipe: &Recipe,
    env: &BTreeMap<String, String>,
) -> Digest {
    crate::key::canonical_digest(&RequiresInputs {
        schema: BUILD_SCHEMA,
        source,
        python: job.cell.python,
        interpreter: job.cell.image.tree(job.cell.python),
        manifest: environment.manifest_digest,
        config_settings: &recipe.config_settings,
        env,
        patches: recipe.patches.iter().map(Patch::digest).collect(),
        network: recipe.network,
    })
}

/// The dynamic requirements on file under `key`; none on file is none known.
pub(super) async fn dynamic(context: &Context, key: &Digest) -> Result<Vec<Requirement>, JobError> {
    let record = context
        .store
        .record::<RequiresRecord>(kind::REQUIRES, key)
        .await?;
    Ok(record.map(|record| record.requires).unwrap_or_default())
}

/// Files what the back end asked for.
pub(super) async fn file_dynamic(
    context: &Context,
    key: &Digest,
    requires: Vec<Requirement>,
) -> Result<(), JobError> {
    context
        .store
        .create_record(kind::REQUIRES, key, &RequiresRecord { requires })
        .await?;
    Ok(())
}

/// The wheels for `requirements`, for the job at the end of `chain`: its Python, its builder's own C library.
/// Builds nothing.
pub(super) async fn look(
    context: &Context,
    chain: &Chain<'_>,
    job: &Job,
    requirements: Vec<Requirement>,
) -> Result<Requires, JobError> {
    if requirements.is_empty() {
        return Ok(Requires::Known(Arc::default()));
    }
    let mut words: Vec<_> = requirements.iter().map(ToString::to_string).collect();
    words.sort();
    let wanted = (words, job.cell.python, job.cell.image.name.clone());
    if let Some(known) = context.memo.requires.get(&wanted) {
        return Ok(Requires::Known(known));
    }
    // What serves a build need not run anywhere else.
    let cell = Arc::new(Cell {
        target: job.cell.image.target,
        ..Cell::clone(&job.cell)
    });
    let lock = match lock(context, chain, &cell, requirements).await {
        Ok(Attempt::Lock(lock)) => lock,
        Ok(Attempt::Unstated(unstated)) => return Ok(Requires::Missing(vec![*unstated])),
        Err(error) => return Err(error.within(format!("{}: its build requirements", job.id()))),
    };
    let mut known = BuildRequires::default();
    let mut missing = Vec::new();
    for package in lock.packages {
        if let Some(wheel) = package.best_wheel(cell.python, cell.target) {
            known.wheels.push(wheel.clone());
            continue;
        }
        chain.check(&package.name, &package.version)?;
        let inner = Job {
            package,
            cell: Arc::clone(&cell),
            choice: Choice::Reuse,
            purpose: Purpose::BuildRequirement,
        };
        let outlook = super::outlook::look_in(context, &inner, Some(chain)).await;
        match outlook.map_err(|error| of_requirement(error, job))?.next {
            Next::Ready(artifact) => known.built.push(*artifact),
            _ => missing.push(inner),
        }
    }
    if !missing.is_empty() {
        return Ok(Requires::Missing(missing));
    }
    let known = Arc::new(known);
    context.memo.requires.set(wanted, Arc::clone(&known));
    Ok(Requires::Known(known))
}

/// The lock for build requirements: of wheels alone if there is one, else of what there is.
async fn lock(
    context: &Context,
    chain: &Chain<'_>,
    cell: &Arc<Cell>,
    requirements: Vec<Requirement>,
) -> Result<Attempt, JobError> {
    let wheels = CompileRequest {
        requirements,
        constraints: Vec::new(),
        python: cell.python,
        target: cell.target,
        only_wheels: true,
        no_dependencies: false,
        options: CompileOptions::default(),
    };
    let any = CompileRequest {
        only_wheels: false,
        ..wheels.clone()
    };
    let freshness = context.freshness;
    let not_before = freshness.build_requires_not_before;
    let stored: Option<Lock> = match (
        context.resolver.stored(&wheels, not_before).await?,
        context.resolver.stored(&any, not_before).await?,
    ) {
        (Some((made, wheels)), Some((made_of_any, any))) => {
            Some(if made >= made_of_any { wheels } else { any })
        }
        (wheels, any) => wheels.or(any).map(|(_, lock)| lock),
    };
    if let Some(lock) = stored {
        return Ok(Attempt::Lock(lock));
    }
    let lane = context.resolving().await?;
    let compiled = context
        .resolver
        .compile(&wheels, &[], not_before, freshness.now)
        .await;
    drop(lane);
    match compiled {
        Ok(lock) => Ok(Attempt::Lock(lock)),
        Err(error) if error.kind() == ResolveErrorKind::Unsatisfiable => {
            attempt(
                context,
                cell,
                &any,
                not_before,
                &mut Told::default(),
                Some(chain),
            )
            .await
        }
        Err(error) => Err(error.into()),
    }
}

/// Builds what `job`, the end of `chain`, cannot be built without.
pub(super) async fn run(
    context: &Context,
    chain: &Chain<'_>,
    job: &Job,
    missing: &[Job],
) -> Result<(), JobError> {
    let runs = missing.iter().map(|inner| async move {
        let result = super::run_in(context, inner, Some(chain)).await;
        let (ok, summary) = match &result {
            // Another job wanted it too, and has told.
            Ok(artifact) if artifact.origin != Origin::Built => return result,
            Ok(artifact) => (true, artifact.filename.to_string()),
            Err(error) => (false, error.to_string()),
        };
        context.emit(Event::Ended {
            job: inner.id(),
            ok,
            summary,
        });
        result
    });
    for result in join_all(runs).await {
        result.map_err(|error| of_requirement(error, job))?;
    }
    Ok(())
}

/// An error of a build requirement as one of `job`.
fn of_requirement(error: JobError, job: &Job) -> JobError {
    error.within(format!("{}: a build requirement", job.id()))
}
