//! The raw wheel: what the build back end makes, before audit and repair.

use wheelfarm_resolve::LockedFile;
use wheelfarm_types::{Digest, Requirement, SdistFilename};

use super::context::Context;
use super::ingredients::{action, environment_variables, raw_inputs};
use super::outcome::{failed, wheel_of};
use super::{Job, environment, requires};
use crate::action::Exit;
use crate::environment::EnvironmentRecord;
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::history;
use crate::recipes::Recipe;
use crate::records::{BuildOutcome, FailureRecord, HistoryRecord, RawInputs, RawRecord, kind};

/// How often a build is begun at most: as planned; with a newer environment; with what the back end asks for.
const ROUNDS: usize = 4;

/// The raw wheel of `job`, the environment it was built in, and whether it was built just now.
pub(super) async fn raw_wheel(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
) -> Result<(RawRecord, EnvironmentRecord, bool), JobError> {
    let id = job.id();
    let system = requires::build_system_of(context, job, sdist).await?;
    let mut environment = environment::pinned(context, &id, &job.cell, recipe).await?;
    let mut image = None;
    let env = environment_variables(recipe);
    for _ in 0..ROUNDS {
        let key = requires::dynamic_key(job, sdist.sha256, &environment, recipe, &env);
        let mut wanted = system.requires.clone();
        wanted.extend(recipe.build_requires.iter().cloned());
        wanted.extend(requires::dynamic(context, &key).await?);
        let wheels = requires::lock(context, job, wanted).await?;
        let inputs = raw_inputs(context, job, sdist, recipe, &environment, &wheels, &env);
        let raw_key = crate::key::canonical_digest(&inputs);
        if let Some(record) = context
            .with_wheel(kind::RAW, &raw_key, |record: &RawRecord| record.wheel)
            .await?
        {
            return Ok((record, environment, false));
        }
        let image_id = if let Some(id) = &image {
            String::clone(id)
        } else {
            let (made, record) =
                environment::image(context, &id, &job.cell, environment.clone()).await?;
            image = Some(made.clone());
            if record != environment {
                // What can be installed has changed: other keys, perhaps a hit.
                environment = record;
                continue;
            }
            made
        };
        let _flight = context.flights.enter(raw_key).await;
        if let Some(record) = context
            .with_wheel(kind::RAW, &raw_key, |record: &RawRecord| record.wheel)
            .await?
        {
            return Ok((record, environment, false));
        }
        let fetch = async {
            let _lane = context.fetching().await?;
            context.fetcher.fetch(sdist).await?;
            for wheel in &wheels {
                context.fetcher.fetch(wheel).await?;
            }
            Ok(())
        };
        context.staged(&id, Stage::Fetch, fetch).await?;
        let slot = context.slot(recipe.claim()).await?;
        let share = slot.share();
        let action = action(
            context, job, sdist, recipe, &system, &wheels, image_id, &inputs, share,
        )
        .await?;
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
            requires::file_dynamic(context, &key, asked_requirements(asked)?).await?;
            continue;
        }
        let log = context.store.put(result.log.clone()).await?;
        let made = wheel_of(job, &result);
        let outcome = match &made {
            Ok(_) => BuildOutcome::Built,
            Err(reason) => BuildOutcome::Failed {
                reason: reason.clone(),
            },
        };
        let ended = ended(context, job, &inputs, outcome, log, seconds);
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
                return Ok((record, environment, true));
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
                return Err(failed(job, recipe, &reason, log, &result.log));
            }
        }
    }
    Err(JobError::new(
        JobErrorKind::Package,
        format!("{id}: its build back end asks for other build requirements each time"),
    ))
}

/// What the history keeps of a build.
fn ended(
    context: &Context,
    job: &Job,
    inputs: &RawInputs,
    outcome: BuildOutcome,
    log: Digest,
    seconds: f64,
) -> HistoryRecord {
    HistoryRecord {
        project: inputs.project.clone(),
        version: inputs.version.clone(),
        cell: job.cell.id(),
        raw_key: crate::key::canonical_digest(inputs),
        outcome,
        log,
        seconds,
        finished: context.freshness.at_this_moment(),
    }
}

fn asked_requirements(json: &[u8]) -> Result<Vec<Requirement>, JobError> {
    serde_json::from_slice(json).map_err(|error| {
        JobError::new(
            JobErrorKind::Package,
            format!("the build back end asks for build requirements that are none: {error}"),
        )
    })
}
