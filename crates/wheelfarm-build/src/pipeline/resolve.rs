//! Resolving a cell's requirements, with the metadata of packages that state none.

use std::sync::Arc;

use wheelfarm_resolve::{
    CompileOptions, CompileRequest, Lock, LockedFile, ResolveErrorKind, StaticMetadata, Wanted,
};
use wheelfarm_types::{ProjectName, SdistFilename, Version};
use wheelfarm_wheel::Wheel;

use super::chain::Chain;
use super::context::Context;
use super::raw::{RawLook, RawWheel};
use super::{Choice, Job, Purpose, ahead, raw};
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::matrix::Cell;

/// How many packages of one lock may state no metadata: a bound for a resolver that would ask for ever.
pub(super) const LIMIT: usize = 200;

/// What came of resolving without building anything.
#[derive(Debug)]
pub enum Attempt {
    /// The lock.
    Lock(Lock),
    /// A package that has to be built first, since it does not state what it requires.
    Unstated(Box<Job>),
}

/// The lock of what is `wanted`, for `cell`.
///
/// The dependencies of some source distributions are known only by running their code. That is never done on this
/// machine: such a package is built at once, in its environment, and its wheel says what it requires. The wheel is
/// kept: what was built to be asked is what is handed out later.
pub async fn resolve(
    context: &Context,
    cell: &Arc<Cell>,
    wanted: &Wanted,
) -> Result<Lock, JobError> {
    let request = wanted.request(cell.python, cell.target);
    let mut lock = compile(context, cell, &request).await?;
    wanted.restrict(&mut lock)?;
    Ok(lock)
}

/// As [`resolve`], but builds nothing.
pub async fn try_resolve(
    context: &Context,
    cell: &Arc<Cell>,
    wanted: &Wanted,
) -> Result<Attempt, JobError> {
    let request = wanted.request(cell.python, cell.target);
    let not_before = context.freshness.locks_not_before;
    let mut known = Vec::new();
    let mut found = attempt(context, cell, &request, not_before, &mut known, None).await?;
    if let Attempt::Lock(lock) = &mut found {
        wanted.restrict(lock)?;
    }
    Ok(found)
}

async fn compile(
    context: &Context,
    cell: &Arc<Cell>,
    request: &CompileRequest,
) -> Result<Lock, JobError> {
    let not_before = context.freshness.locks_not_before;
    let mut known = Vec::new();
    loop {
        let attempt = attempt(context, cell, request, not_before, &mut known, None);
        let (attempt, _) = context.staged(&cell.id(), Stage::Resolve, attempt).await?;
        match attempt {
            Attempt::Lock(lock) => return Ok(lock),
            Attempt::Unstated(job) => {
                known.extend(ahead::build(context, request, *job, &known).await?);
            }
        }
    }
}

/// The lock for `request`, with what built wheels say that they require: the more is `known`, the less is asked.
/// Builds nothing. `chain` is what the requirements are built for.
pub(super) async fn attempt(
    context: &Context,
    cell: &Arc<Cell>,
    request: &CompileRequest,
    not_before: u64,
    known: &mut Vec<StaticMetadata>,
    chain: Option<&Chain<'_>>,
) -> Result<Attempt, JobError> {
    while known.len() < LIMIT {
        let lane = context.resolving().await?;
        let compile = context
            .resolver
            .compile(request, known, not_before, context.freshness.now);
        let compiled = compile.await;
        drop(lane);
        let error = match compiled {
            Ok(lock) => return Ok(Attempt::Lock(lock)),
            Err(error) => error,
        };
        let Some((project, version)) = error
            .needs_build()
            .filter(|_| error.kind() == ResolveErrorKind::NeedsBuild)
        else {
            return Err(error.into());
        };
        let asked_before = known
            .iter()
            .any(|known| known.name == *project && known.version == *version);
        if asked_before {
            return Err(error.into());
        }
        if let Some(chain) = chain {
            chain.check(project, version)?;
        }
        let mut job = unstated(context, cell, project, version, not_before).await?;
        if chain.is_some() {
            job.purpose = Purpose::BuildRequirement;
        }
        let recipe = context.recipes.get(project, cell);
        let inner = Chain::new(&job, chain);
        let look = Box::pin(raw::look(context, &inner, &job, sdist_of(&job)?, &recipe)).await?;
        let RawLook::Found(raw) = look else {
            return Ok(Attempt::Unstated(Box::new(job)));
        };
        known.push(metadata_of(context, &job, *raw).await?);
    }
    let message = format!(
        "{}: more than {LIMIT} packages state no metadata",
        cell.id()
    );
    Err(JobError::new(JobErrorKind::Request, message))
}

fn failed(project: &ProjectName, version: &Version, error: impl std::fmt::Display) -> JobError {
    JobError::new(
        JobErrorKind::Package,
        format!("{project} {version}: {error}"),
    )
}

pub(super) fn sdist_of(job: &Job) -> Result<&LockedFile<SdistFilename>, JobError> {
    job.package.sdist.as_ref().ok_or_else(|| {
        failed(
            &job.package.name,
            &job.package.version,
            "the index has no source distribution",
        )
    })
}

/// The job that builds `project` in `cell` to ask its wheel.
pub(super) async fn unstated(
    context: &Context,
    cell: &Arc<Cell>,
    project: &ProjectName,
    version: &Version,
    not_before: u64,
) -> Result<Job, JobError> {
    // Where its files are does not depend on what it requires, so any answer will do for this lock.
    let metadata = ahead::nothing(project, version);
    let requirement = format!("{project}=={version}");
    let request = CompileRequest {
        requirements: vec![
            requirement
                .parse()
                .map_err(|error| failed(project, version, error))?,
        ],
        constraints: Vec::new(),
        python: cell.python,
        target: cell.target,
        only_wheels: false,
        no_dependencies: true,
        options: CompileOptions::default(),
    };
    let lock = context
        .resolver
        .compile(
            &request,
            std::slice::from_ref(&metadata),
            not_before,
            context.freshness.now,
        )
        .await?;
    let package = lock
        .packages
        .into_iter()
        .find(|package| package.name == *project)
        .ok_or_else(|| failed(project, version, "the resolver left it out of its own lock"))?;
    Ok(Job {
        package,
        cell: Arc::clone(cell),
        choice: Choice::FromSource,
        purpose: Purpose::Wanted,
    })
}

/// What the wheel of `job` requires.
pub(super) async fn metadata_of(
    context: &Context,
    job: &Job,
    raw: RawWheel,
) -> Result<StaticMetadata, JobError> {
    let (project, version) = (&job.package.name, &job.package.version);
    let bytes = context.store.get(&raw.record.wheel).await?;
    let wheel = Wheel::from_bytes(bytes, raw.record.filename)
        .map_err(|error| failed(project, version, error))?;
    let file = wheel
        .metadata_file()
        .map_err(|error| failed(project, version, error))?;
    Ok(StaticMetadata {
        name: project.clone(),
        version: version.clone(),
        requires_dist: file
            .requires_dist()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        requires_python: file.requires_python().map(str::to_owned),
    })
}
