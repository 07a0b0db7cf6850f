//! The raw wheel: what the build back end makes, before audit and repair.

use std::collections::BTreeMap;
use std::time::Duration;

use wheelfarm_resolve::{BuildSystem, LockedFile};
use wheelfarm_types::{Digest, Requirement, SdistFilename};

use super::chain::Chain;
use super::context::Context;
use super::ingredients::{action, environment_variables, raw_inputs};
use super::outcome::{failed, wheel_of};
use super::requires::{BuildRequires, Requires};
use super::slots::Claim;
use super::{Artifact, Job, environment, requires};
use crate::action::Exit;
use crate::environment::EnvironmentRecord;
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::history;
use crate::recipes::Recipe;
use crate::records::{BuildOutcome, FailureRecord, HistoryRecord, RawInputs, RawRecord, kind};

/// How many steps lead to a wheel at most: an environment, build requirements whose metadata nobody states, what
/// the back end asks for; a bound for a back end that asks for something else each time.
const STEPS: usize = 40;
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
pub(super) struct RawWheel {
    /// Its record.
    pub(super) record: RawRecord,
    /// Where it was built.
    pub(super) environment: EnvironmentRecord,
    /// The build requirements that were built for it.
    pub(super) requires: Vec<Artifact>,
    /// Whether it was built just now.
    pub(super) built: bool,
}

/// A build that can begin: all that identifies it.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) environment: EnvironmentRecord,
    pub(super) system: BuildSystem,
    pub(super) requires: BuildRequires,
    /// Where dynamic build requirements are filed, and those that were there.
    dynamic_key: Digest,
    dynamic: Vec<Requirement>,
    pub(super) inputs: RawInputs,
    pub(super) key: Digest,
}

/// Looks how far the build of `job` is, the end of `chain`. Makes no environment and builds nothing.
pub(super) async fn look(
    context: &Context,
    chain: &Chain<'_>,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
) -> Result<RawLook, JobError> {
    let system = requires::build_system_of(context, job, sdist).await?;
    let Some(environment) = environment::known(context, &job.cell, recipe).await? else {
        return Ok(RawLook::Environment);
    };
    let env: BTreeMap<_, _> = environment_variables(recipe);
    let dynamic_key = requires::dynamic_key(job, sdist.sha256, &environment, recipe, &env);
    let mut wanted = system.requires.clone();
    wanted.extend(recipe.build_requires.iter().cloned());
    let dynamic = requires::dynamic(context, &dynamic_key).await?;
    wanted.extend(dynamic.iter().cloned());
    let requires = match requires::look(context, chain, job, wanted).await? {
        Requires::Known(requires) => requires,
        Requires::Missing(jobs) => return Ok(RawLook::Requires(jobs)),
    };
    let inputs = raw_inputs(context, job, sdist, recipe, &environment, &requires, &env);
    let key = crate::key::canonical_digest(&inputs);
    let prepared = Prepared {
        environment,
        system,
        requires,
        dynamic_key,
        dynamic,
        inputs,
        key,
    };
    Ok(match recorded(context, &prepared).await? {
        Some(raw) => RawLook::Found(Box::new(raw)),
        None => RawLook::Missing(Box::new(prepared)),
    })
}

/// The raw wheel that was made of what is prepared, if it was.
async fn recorded(context: &Context, prepared: &Prepared) -> Result<Option<RawWheel>, JobError> {
    let record = context
        .with_wheel(kind::RAW, &prepared.key, |record: &RawRecord| record.wheel)
        .await?;
    Ok(record.map(|record| RawWheel {
        record,
        environment: prepared.environment.clone(),
        requires: prepared.requires.built.clone(),
        built: false,
    }))
}

/// The raw wheel of `job`, the end of `chain`: built if it never was.
pub(super) async fn raw_wheel(
    context: &Context,
    chain: &Chain<'_>,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
) -> Result<RawWheel, JobError> {
    let id = job.id();
    for _ in 0..STEPS {
        match look(context, chain, job, sdist, recipe).await? {
            RawLook::Found(raw) => return Ok(*raw),
            RawLook::Environment => {
                let claim = claim(context, job, sdist, recipe).await?;
                environment::pinned(context, &id, &job.cell, recipe, claim).await?;
            }
            RawLook::Requires(jobs) => requires::run(context, chain, job, &jobs).await?,
            RawLook::Missing(prepared) => {
                if let Some(raw) = build(context, job, sdist, recipe, *prepared).await? {
                    return Ok(raw);
                }
            }
        }
    }
    Err(JobError::new(
        JobErrorKind::Package,
        format!("{id}: its build back end asks for other build requirements each time"),
    ))
}

/// Builds what is prepared; none if it has to be prepared again: what can be installed has changed, or the back end
/// asks for more.
async fn build(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
    prepared: Prepared,
) -> Result<Option<RawWheel>, JobError> {
    let id = job.id();
    let pinned = prepared.environment.clone();
    let claim = claim(context, job, sdist, recipe).await?;
    let (image, environment) = environment::image(context, &id, &job.cell, pinned, claim).await?;
    if environment != prepared.environment {
        return Ok(None);
    }
    let _flight = context.flights.enter(prepared.key).await;
    if let Some(raw) = recorded(context, &prepared).await? {
        return Ok(Some(raw));
    }
    if requires::dynamic(context, &prepared.dynamic_key).await? != prepared.dynamic {
        // Who was in flight before has learned that the back end asks for more.
        return Ok(None);
    }
    let fetch = async {
        let _lane = context.fetching().await?;
        context.fetcher.fetch(sdist).await?;
        for wheel in &prepared.requires.wheels {
            context.fetcher.fetch(wheel).await?;
        }
        Ok(())
    };
    context.staged(&id, Stage::Fetch, fetch).await?;
    let slot = context.slot(claim).await?;
    let share = slot.share();
    let action = action(context, job, sdist, recipe, &prepared, image, share).await?;
    let run = async {
        Ok(context
            .executor
            .run(&action, context.log_of(&id), &context.cancel)
            .await?)
    };
    let (result, seconds) = context.staged(&id, Stage::Build, run).await?;
    drop(slot);
    if result.exit == Exit::Code(0)
        && let Some(asked) = result.outputs.get("requires.json")
    {
        requires::file_dynamic(context, &prepared.dynamic_key, asked_requirements(asked)?).await?;
        return Ok(None);
    }
    let log = context.store.put(result.log.clone()).await?;
    let Prepared {
        inputs,
        key: raw_key,
        environment,
        requires,
        ..
    } = prepared;
    let made = wheel_of(job, &action.limits, &result);
    let outcome = match &made {
        Ok(_) => BuildOutcome::Built,
        Err(reason) => BuildOutcome::Failed {
            reason: reason.clone(),
        },
    };
    let ended = ended(context, job, raw_key, outcome, log, seconds);
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
            Ok(Some(RawWheel {
                record,
                environment,
                requires: requires.built,
                built: true,
            }))
        }
        Err(reason) => {
            let failure = FailureRecord {
                inputs,
                log,
                reason: reason.clone(),
            };
            context
                .store
                .append(kind::FAILURE, &raw_key, context.freshness.now, &failure)
                .await?;
            Err(failed(job, recipe, &reason, log, &result.log))
        }
    }
}

/// What the build takes of the machine, and how long: as long as the last one, else by the size of its source.
async fn claim(
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
