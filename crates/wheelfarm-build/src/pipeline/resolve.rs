//! Resolving a cell's requirements, with the metadata of packages that state none, and what locks have for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use wheelfarm_resolve::inputs::InputPackage;
use wheelfarm_resolve::sources::{Source, SourceFile};
use wheelfarm_resolve::{
    CompileOptions, CompileRequest, Lock, LockedFile, LockedPackage, ResolveErrorKind,
    StaticMetadata, Wanted,
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

/// What the version of a source is taken for before a build has told it.
const UNTOLD: &str = "0";

/// What came of resolving without building anything.
#[derive(Debug)]
pub enum Attempt {
    /// The lock.
    Lock(Lock),
    /// A package that has to be built first, since it does not state what it requires.
    Unstated(Box<Job>),
}

/// What packages require that do not state it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Told by built wheels.
    pub(super) known: Vec<StaticMetadata>,
    /// Of packages that failed to build: nothing, if they are asked for.
    pub(super) failed: Vec<StaticMetadata>,
    /// Those of the failed that were asked for. A lock that is made so is of use for this run alone.
    assumed: Vec<StaticMetadata>,
}

/// The lock of what is `wanted`, for `cell`. What locks have is taken as it is, and constrains what is resolved
/// beside them.
///
/// The dependencies of some source distributions are known only by running their code. That is never done on this
/// machine: such a package is built at once, in its environment, and its wheel says what it requires. The wheel is
/// kept: what was built to be asked is what is handed out later. One that cannot be built is taken to require nothing:
/// as a job of its own it fails, beside all others.
pub async fn resolve(
    context: &Context,
    cell: &Arc<Cell>,
    wanted: &Wanted,
) -> Result<Lock, JobError> {
    wanted.check(cell.python)?;
    let packages = loop {
        match pinned(context, cell, wanted).await? {
            Ok(packages) => break packages,
            Err(untold) => {
                ahead::built(context, &untold).await?;
            }
        }
    };
    let lock = match beside(wanted, cell, &packages) {
        Some(request) => Some(compile(context, cell, &request).await?),
        None => None,
    };
    joined(wanted, packages, lock)
}

/// As [`resolve`], but builds nothing.
pub async fn try_resolve(
    context: &Context,
    cell: &Arc<Cell>,
    wanted: &Wanted,
) -> Result<Attempt, JobError> {
    wanted.check(cell.python)?;
    let packages = match pinned(context, cell, wanted).await? {
        Ok(packages) => packages,
        Err(first) => return Ok(Attempt::Unstated(first)),
    };
    let not_before = context.freshness.locks_not_before;
    let mut lock = None;
    if let Some(request) = beside(wanted, cell, &packages) {
        let mut told = Told::default();
        match attempt(context, cell, &request, not_before, &mut told, None).await? {
            Attempt::Lock(found) => lock = Some(found),
            unstated @ Attempt::Unstated(_) => return Ok(unstated),
        }
    }
    joined(wanted, packages, lock).map(Attempt::Lock)
}

/// What has to be resolved beside the `packages` of locks, if anything has.
fn beside(
    wanted: &Wanted,
    cell: &Cell,
    packages: &BTreeMap<ProjectName, LockedPackage>,
) -> Option<CompileRequest> {
    if !wanted.has_requirements() {
        return None;
    }
    let mut request = wanted.request(cell.python, cell.target);
    for package in packages.values() {
        let pin = format!("{}=={}", package.name, package.version);
        request.constraints.extend(pin.parse().ok());
    }
    Some(request)
}

/// The `packages` of locks and what was resolved beside them.
fn joined(
    wanted: &Wanted,
    mut packages: BTreeMap<ProjectName, LockedPackage>,
    resolved: Option<Lock>,
) -> Result<Lock, JobError> {
    if let Some(mut lock) = resolved {
        wanted.hashes.enforce(&mut lock)?;
        for package in lock.packages {
            add(&mut packages, package)?;
        }
    }
    let mut lock = Lock {
        packages: packages.into_values().collect(),
    };
    wanted.formats.apply(&mut lock);
    Ok(lock)
}

/// What locks have for `cell`; or a job that tells a version which stands nowhere. Builds nothing.
async fn pinned(
    context: &Context,
    cell: &Arc<Cell>,
    wanted: &Wanted,
) -> Result<Result<BTreeMap<ProjectName, LockedPackage>, Box<Job>>, JobError> {
    let mut packages = BTreeMap::new();
    for lock in &wanted.locks {
        for package in lock.for_cell(cell.python, cell.target)? {
            match locked(context, cell, package).await? {
                Ok(package) => add(&mut packages, package)?,
                Err(job) => return Ok(Err(job)),
            }
        }
    }
    Ok(Ok(packages))
}

async fn compile(
    context: &Context,
    cell: &Arc<Cell>,
    request: &CompileRequest,
) -> Result<Lock, JobError> {
    let not_before = context.freshness.locks_not_before;
    let mut told = Told::default();
    loop {
        let attempt = attempt(context, cell, request, not_before, &mut told, None);
        let (attempt, _) = context.staged(&cell.id(), Stage::Resolve, attempt).await?;
        match attempt {
            Attempt::Lock(lock) => return Ok(lock),
            Attempt::Unstated(job) => ahead::build(context, request, *job, &mut told).await?,
        }
    }
}

/// Adds `package`; one that is there already stays if it is the same version.
fn add(
    packages: &mut BTreeMap<ProjectName, LockedPackage>,
    package: LockedPackage,
) -> Result<(), JobError> {
    match packages.get(&package.name) {
        Some(present) if present.version != package.version => {
            let message = format!(
                "`{}` is wanted as {} and as {}",
                package.name, present.version, package.version
            );
            let hint = "two locks, or a lock and the requirements, do not agree: build them in calls of their own";
            Err(JobError::new(JobErrorKind::Request, message).with_hint(Some(hint.to_owned())))
        }
        Some(_) => Ok(()),
        None => {
            packages.insert(package.name.clone(), package);
            Ok(())
        }
    }
}

/// A package of a lock, or the job that tells its version, if that stands nowhere.
async fn locked(
    context: &Context,
    cell: &Arc<Cell>,
    package: &InputPackage,
) -> Result<Result<LockedPackage, Box<Job>>, JobError> {
    let stated = package.source.as_ref().and_then(Source::version);
    if let Some(version) = stated.or_else(|| package.version.clone()) {
        return Ok(Ok(package.locked(version)?));
    }
    let Some(source) = &package.source else {
        let message = format!("`{}` has no version in its lock", package.name);
        return Err(JobError::new(JobErrorKind::Request, message));
    };
    let job = job_of(cell, source)?;
    Ok(match ask(context, &job, None).await? {
        Some(metadata) => Ok(package.locked(metadata.version)?),
        None => Err(Box::new(job)),
    })
}

/// The lock for `request`, with what built wheels say that they require: the more is `told`, the less is asked.
/// Builds nothing. `chain` is what the requirements are built for.
pub(super) async fn attempt(
    context: &Context,
    cell: &Arc<Cell>,
    request: &CompileRequest,
    not_before: u64,
    told: &mut Told,
    chain: Option<&Chain<'_>>,
) -> Result<Attempt, JobError> {
    let resolver = &context.resolver;
    while told.known.len() + told.assumed.len() < LIMIT {
        let lane = context.resolving().await?;
        let compiled = if told.assumed.is_empty() {
            let now = context.freshness.now;
            resolver
                .compile(request, &told.known, not_before, now)
                .await
        } else {
            resolver.foresee(request, &told.all()).await
        };
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
        if told
            .all()
            .iter()
            .any(|told| is(told, project, version.as_ref()))
        {
            return Err(error.into());
        }
        let mut failed = told.failed.iter();
        if let Some(failed) = failed.find(|failed| is(failed, project, version.as_ref())) {
            told.assumed.push(failed.clone());
            continue;
        }
        if let (Some(chain), Some(version)) = (chain, version) {
            chain.check(project, version)?;
        }
        let version = version.as_ref();
        let Some(mut job) = job_for(context, cell, request, project, version, not_before).await?
        else {
            return Err(error.into());
        };
        if chain.is_some() {
            job.purpose = Purpose::BuildRequirement;
        }
        match ask(context, &job, chain).await? {
            Some(metadata) => told.known.push(metadata),
            None => return Ok(Attempt::Unstated(Box::new(job))),
        }
    }
    let message = format!(
        "{}: more than {LIMIT} packages state no metadata",
        cell.id()
    );
    Err(JobError::new(JobErrorKind::Request, message))
}

impl Told {
    /// All that a resolution goes by.
    pub(super) fn all(&self) -> Vec<StaticMetadata> {
        self.known.iter().chain(&self.assumed).cloned().collect()
    }
}

/// Whether `metadata` is that of a package that the resolver named; of a source it does not know the version.
pub(super) fn is(
    metadata: &StaticMetadata,
    project: &ProjectName,
    version: Option<&Version>,
) -> bool {
    metadata.name == *project && version.is_none_or(|version| metadata.version == *version)
}

/// The job that builds, to ask its wheel, what the resolver named: a source of the request, or a version of the index;
/// none if it is neither.
pub(super) async fn job_for(
    context: &Context,
    cell: &Arc<Cell>,
    request: &CompileRequest,
    project: &ProjectName,
    version: Option<&Version>,
    not_before: u64,
) -> Result<Option<Job>, JobError> {
    let sources = &request.options.sources;
    let source = sources.iter().find(|source| source.name == *project);
    Ok(match (source, version) {
        (Some(source), _) => Some(job_of(cell, source)?),
        (None, Some(version)) => {
            Some(job_of_index(context, cell, project, version, not_before).await?)
        }
        (None, None) => None,
    })
}

/// As if `package` required nothing.
pub(super) fn nothing_of(package: &LockedPackage) -> StaticMetadata {
    StaticMetadata {
        name: package.name.clone(),
        version: package.version.clone(),
        requires_dist: Vec::new(),
        requires_python: None,
    }
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

/// The job that builds `project` of the index in `cell` to ask its wheel.
async fn job_of_index(
    context: &Context,
    cell: &Arc<Cell>,
    project: &ProjectName,
    version: &Version,
    not_before: u64,
) -> Result<Job, JobError> {
    // Where its files are does not depend on what it requires, so any answer will do for this lock.
    let metadata = StaticMetadata {
        name: project.clone(),
        version: version.clone(),
        requires_dist: Vec::new(),
        requires_python: None,
    };
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
    Ok(to_ask(package, cell))
}

/// The job that builds `source` in `cell` to ask its wheel.
fn job_of(cell: &Arc<Cell>, source: &Source) -> Result<Job, JobError> {
    if let SourceFile::Wheel { filename, .. } = &source.file {
        let message = format!("`{filename}` has no metadata that can be read");
        return Err(JobError::new(JobErrorKind::Package, message));
    }
    let untold = || {
        let version = UNTOLD.parse::<Version>();
        version.map_err(|error| JobError::new(JobErrorKind::Package, error.to_string()))
    };
    let version = source.version().map_or_else(untold, Ok)?;
    Ok(to_ask(source.locked(version)?, cell))
}

fn to_ask(package: LockedPackage, cell: &Arc<Cell>) -> Job {
    Job {
        package,
        cell: Arc::clone(cell),
        choice: Choice::FromSource,
        purpose: Purpose::Wanted,
    }
}

/// What the wheel of `job` says, if it was built before.
async fn ask(
    context: &Context,
    job: &Job,
    chain: Option<&Chain<'_>>,
) -> Result<Option<StaticMetadata>, JobError> {
    let recipe = context.recipe(job);
    let inner = Chain::new(job, chain);
    let look = Box::pin(raw::look(context, &inner, job, sdist_of(job)?, &recipe)).await?;
    match look {
        RawLook::Found(raw) => Ok(Some(metadata_of(context, job, *raw).await?)),
        _ => Ok(None),
    }
}

/// What the wheel of `job` requires, and which version it is.
pub(super) async fn metadata_of(
    context: &Context,
    job: &Job,
    raw: RawWheel,
) -> Result<StaticMetadata, JobError> {
    let (project, stated) = (&job.package.name, &job.package.version);
    let version = if job.package.version_is_untold() {
        let told = raw.record.filename.parsed_version();
        told.map_err(|error| failed(project, stated, error))?
    } else {
        stated.clone()
    };
    let file = context.store.file(&raw.record.wheel).await?;
    let wheel = Wheel::from_file(file, raw.record.filename)
        .map_err(|error| failed(project, &version, error))?;
    let file = wheel
        .metadata_file()
        .map_err(|error| failed(project, &version, error))?;
    Ok(StaticMetadata {
        name: project.clone(),
        requires_dist: file
            .requires_dist()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        requires_python: file.requires_python().map(str::to_owned),
        version,
    })
}
