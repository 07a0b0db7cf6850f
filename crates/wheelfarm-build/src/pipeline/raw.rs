//! The raw wheel: what the build back end makes, before audit and repair.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wheelfarm_resolve::{BuildSystem, LockedFile};
use wheelfarm_types::{Digest, PythonVersion, Requirement, SdistFilename};

use super::chain::Chain;
use super::context::Context;
use super::ingredients::{action, environment_variables, limits, raw_inputs};
use super::memo::Pinned;
use super::outcome::{failed, wheel_of};
use super::requires::{BuildRequires, Requires};
use super::slots::Claim;
use super::{Job, environment, failures, requires, sharing, sibling};
use crate::action::{Action, ActionResult, Execution, Exit};
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::history;
use crate::recipes::Recipe;
use crate::records::{
    BuildOutcome, HistoryRecord, PinnedFile, RawInputs, RawOutcome, RawRecord, kind,
};

/// Bytes of what a back end asks for.
const MOST_ASKED: usize = 1 << 20;

/// A guess that needs to be right only for which of two sources takes longer to build.
const SOURCE_BYTES_A_MILLISECOND: u64 = 100;

/// How far the build of a job is.
#[derive(Debug)]
pub(super) enum RawLook {
    /// It was built before.
    Found(Box<RawWheel>),
    /// Its environment was never made: what would be built is not known before.
    Environment,
    /// These build requirements have to be built first: what would be built is not known before.
    Requires(Vec<Job>),
    /// It has to be built.
    Missing(Box<Prepared>),
}

/// A raw wheel, and what is known of its build.
#[derive(Debug, Clone)]
pub struct RawWheel {
    /// Its key.
    pub key: Digest,
    /// What its record says.
    pub record: RawOutcome,
    /// Whether it was built with network.
    pub(super) network: bool,
    /// Where it was built.
    pub(super) environment: Arc<Pinned>,
    /// The build requirements that were built for it.
    pub(super) requires: Arc<BuildRequires>,
    /// The Python that it was built for, if it serves the job's as well.
    pub(super) reused: Option<PythonVersion>,
}

/// What a build begins with, before its build requirements are known.
#[derive(Debug)]
pub(super) struct Basis<'a> {
    pub(super) sdist: &'a LockedFile<SdistFilename>,
    pub(super) recipe: &'a Recipe,
    pub(super) environment: Arc<Pinned>,
    pub(super) env: BTreeMap<String, String>,
    /// The PEP 517 front end.
    pub(super) front_end: PinnedFile,
}

/// A build that can begin: all that identifies it.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) environment: Arc<Pinned>,
    pub(super) system: BuildSystem,
    pub(super) requires: Arc<BuildRequires>,
    /// Where dynamic build requirements are filed, and those that were there.
    dynamic_key: Digest,
    dynamic: Vec<Requirement>,
    /// Everything that can change the wheel.
    pub inputs: RawInputs,
    /// Their digest.
    pub key: Digest,
}

/// Looks how far the build of `job` is, the end of `chain`. Makes no environment and builds nothing.
pub(super) async fn look(
    context: &Context,
    chain: &Chain<'_>,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
) -> Result<RawLook, JobError> {
    let (basis, look) = prepare(context, chain, job, sdist, recipe).await?;
    let found = |raw| Ok(RawLook::Found(Box::new(raw)));
    // Nothing that is still to be built can be part of a key that is on record.
    if let RawLook::Missing(prepared) = &look
        && let Some(raw) = recorded(context, prepared).await?
    {
        return found(raw);
    }
    if let Some(basis) = &basis
        && let Some(raw) = sibling::find(context, job, basis).await?
    {
        return found(raw);
    }
    Ok(look)
}

/// Like [`look`], but does not look whether there is a wheel already. There is a basis as soon as there is an
/// environment.
pub(super) async fn prepare<'a>(
    context: &Context,
    chain: &Chain<'_>,
    job: &Job,
    sdist: &'a LockedFile<SdistFilename>,
    recipe: &'a Recipe,
) -> Result<(Option<Basis<'a>>, RawLook), JobError> {
    let system = requires::build_system_of(context, job, sdist).await?;
    let Some(environment) = environment::known(context, &job.cell, recipe).await? else {
        return Ok((None, RawLook::Environment));
    };
    let basis = Basis {
        sdist,
        recipe,
        environment,
        env: environment_variables(recipe),
        front_end: context.front_end(job.cell.target.arch).await?,
    };
    let source = job.source_key(sdist);
    let dynamic_key = requires::dynamic_key(job, source, &basis.environment, recipe, &basis.env);
    let mut wanted = system.requires.clone();
    wanted.extend(recipe.build_requires.iter().cloned());
    let dynamic = requires::dynamic(context, &dynamic_key).await?;
    wanted.extend(dynamic.iter().cloned());
    let requires = match requires::look(context, chain, job, wanted).await? {
        Requires::Known(requires) => requires,
        Requires::Missing(jobs) => return Ok((Some(basis), RawLook::Requires(jobs))),
    };
    let inputs = raw_inputs(job, &basis, &requires);
    let prepared = Prepared {
        system,
        requires,
        dynamic_key,
        dynamic,
        key: crate::key::canonical_digest(&inputs),
        inputs,
        environment: Arc::clone(&basis.environment),
    };
    Ok((Some(basis), RawLook::Missing(Box::new(prepared))))
}

/// The raw wheel that was made of what is prepared, if it was.
async fn recorded(context: &Context, prepared: &Prepared) -> Result<Option<RawWheel>, JobError> {
    let record = context
        .with_wheel(kind::RAW, &prepared.key, |record: &RawOutcome| record.wheel)
        .await?;
    Ok(record.map(|record| RawWheel {
        key: prepared.key,
        record,
        network: prepared.inputs.network,
        environment: Arc::clone(&prepared.environment),
        requires: Arc::clone(&prepared.requires),
        reused: None,
    }))
}

/// Makes the environment of `job`, unless it is there.
pub(super) async fn make_environment(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
) -> Result<(), JobError> {
    let claim = claim(context, job, sdist, recipe).await?;
    environment::pinned(context, &job.id(), &job.cell, recipe, claim).await
}

/// The raw wheel of `job`, the end of `chain`: built if it never was.
pub(super) async fn raw_wheel(
    context: &Context,
    chain: &Chain<'_>,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
) -> Result<RawWheel, JobError> {
    for _ in 0..super::STEPS {
        match look(context, chain, job, sdist, recipe).await? {
            RawLook::Found(raw) => return Ok(*raw),
            RawLook::Environment => make_environment(context, job, sdist, recipe).await?,
            RawLook::Requires(jobs) => requires::run(context, chain, job, &jobs).await?,
            RawLook::Missing(prepared) => {
                build(context, job, sdist, recipe, *prepared).await?;
            }
        }
    }
    Err(restless(job))
}

/// The error of a job that takes another step each time.
pub(super) fn restless(job: &Job) -> JobError {
    let message = format!(
        "{}: its build back end asks for other build requirements each time",
        job.id()
    );
    JobError::new(JobErrorKind::Package, message)
}

/// Builds what is prepared, and files it: whether there was a container run that left a wheel. If there was none, it
/// is to be looked again: another had built it, what can be installed has changed, or the back end asks for more.
pub(super) async fn build(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
    prepared: Prepared,
) -> Result<bool, JobError> {
    let id = job.id();
    let limits = limits(context, recipe);
    if let Some(error) = failures::remembered(context, job, recipe, &prepared.key, &limits).await? {
        return Err(error);
    }
    let claim = claim(context, job, sdist, recipe).await?;
    let (image, environment) =
        environment::image(context, &id, &job.cell, &prepared.environment, claim).await?;
    if environment != prepared.environment {
        return Ok(false);
    }
    let _flight = context.alone(&id, prepared.key).await?;
    if recorded(context, &prepared).await?.is_some() {
        return Ok(false);
    }
    // Who was in flight before may have failed.
    if let Some(error) = failures::remembered(context, job, recipe, &prepared.key, &limits).await? {
        return Err(error);
    }
    if requires::dynamic(context, &prepared.dynamic_key).await? != prepared.dynamic {
        // Who was in flight before has learned that the back end asks for more.
        return Ok(false);
    }
    let (action, result, seconds) = execute(
        context,
        job,
        sdist,
        recipe,
        &prepared,
        image,
        claim,
        Stage::Build,
    )
    .await?;
    if result.exit == Exit::Code(0)
        && let Some(asked) = result.outputs.get("requires.json")
    {
        requires::file_dynamic(context, &prepared.dynamic_key, asked_requirements(asked)?).await?;
        return Ok(false);
    }
    let log = context.store.put(result.log.clone()).await?;
    let Prepared {
        inputs,
        key: raw_key,
        environment,
        ..
    } = prepared;
    let made = wheel_of(job, &action.limits, &result);
    let outcome = match &made {
        Ok(_) => BuildOutcome::Built,
        Err(reason) => BuildOutcome::Failed {
            reason: reason.clone(),
        },
    };
    let ended = ended(
        context,
        job,
        raw_key,
        outcome,
        log,
        seconds,
        result.execution.clone(),
    );
    history::append(&context.store, &ended).await?;
    match made {
        Ok((filename, bytes)) => {
            let record = RawRecord {
                inputs,
                filename,
                wheel: context.store.put(bytes).await?,
                log,
                seconds,
            };
            context
                .store
                .create_record(kind::RAW, &raw_key, &record)
                .await?;
            let basis = Basis {
                env: record.inputs.env.clone(),
                front_end: record.inputs.front_end.clone(),
                sdist,
                recipe,
                environment,
            };
            sibling::note(context, job, &basis, raw_key, &record).await?;
            let shared = sibling::is_shared(&record.filename);
            sharing::learn(context, sdist.sha256, job.cell.python, shared).await?;
            Ok(true)
        }
        Err(reason) => {
            let failure = failures::record(inputs, log, &reason, &limits);
            failures::remember(context, &raw_key, &failure).await?;
            let error = failed(context, job, recipe, &reason, log, &result.log).await;
            Err(match result.kept {
                Some(kept) => error.and_hint(format!(
                    "its container was kept, with the source in /build/src and its Python in /build/env: `{}` looks into it, `{}` removes it",
                    kept.enter, kept.remove
                )),
                None => error,
            })
        }
    }
}

/// Fetches what the build needs and runs it in `image`, as `stage`: the action, what it left, and how long it took in
/// seconds.
#[allow(
    clippy::too_many_arguments,
    reason = "they are the build's ingredients, used once"
)]
pub(super) async fn execute(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
    prepared: &Prepared,
    image: String,
    claim: Claim,
    stage: Stage,
) -> Result<(Action, ActionResult, f64), JobError> {
    let id = job.id();
    // Who waits is not at work: the stage begins with the lane.
    let lane = context.fetching().await?;
    let fetch = async {
        context.fetcher.fetch(sdist).await?;
        for wheel in &prepared.requires.wheels {
            context.fetcher.fetch(wheel).await?;
        }
        Ok(())
    };
    context.staged(&id, Stage::Fetch, fetch).await?;
    drop(lane);
    let slot = context.slot(claim).await?;
    let share = slot.share();
    let action = action(context, job, sdist, recipe, prepared, image, share).await?;
    let run = context.retrying(&id, stage, || {
        let (executor, cancel) = (&context.executor, &context.cancel);
        let listener = context.listener(&id);
        match stage {
            Stage::Rebuild => executor.run_anew(&action, listener, cancel),
            _ => executor.run(&action, listener, cancel),
        }
    });
    let (result, seconds) = context.staged(&id, stage, run).await?;
    Ok((action, result, seconds))
}

/// What the build takes of the machine, and how long: as long as the last one, else by the size of its source.
pub(super) async fn claim(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
) -> Result<Claim, JobError> {
    let last = history::latest(&context.store, &job.package.name, &job.cell.id()).await?;
    let expected = match last {
        Some(build) => Duration::try_from_secs_f64(build.seconds).unwrap_or_default(),
        None if context.store.contains(&sdist.sha256).await? => Duration::from_millis(
            context.store.size(&sdist.sha256).await? / SOURCE_BYTES_A_MILLISECOND,
        ),
        None => Duration::ZERO,
    };
    Ok(Claim {
        expected,
        ..recipe.claim()
    })
}

/// What the history keeps of a build.
fn ended(
    context: &Context,
    job: &Job,
    raw_key: Digest,
    outcome: BuildOutcome,
    log: Digest,
    seconds: f64,
    execution: Option<Execution>,
) -> HistoryRecord {
    HistoryRecord {
        project: job.package.name.clone(),
        version: job.package.version.clone(),
        cell: job.cell.id(),
        raw_key,
        outcome,
        log,
        seconds,
        finished: context.freshness.at_this_moment(),
        execution,
    }
}

fn asked_requirements(json: &[u8]) -> Result<Vec<Requirement>, JobError> {
    let error = |detail: String| {
        let message =
            format!("the build back end asks for build requirements that are none: {detail}");
        JobError::new(JobErrorKind::Package, message)
    };
    if json.len() > MOST_ASKED {
        return Err(error(format!("they are {} bytes long", json.len())));
    }
    serde_json::from_slice(json).map_err(|detail| error(detail.to_string()))
}
