//! Building again what was built, to see whether the same comes of it.

use wheelfarm_types::Digest;
use wheelfarm_wheel::Wheel;

use super::chain::Chain;
use super::context::Context;
use super::outcome::wheel_of;
use super::raw::RawLook;
use super::{Job, environment, raw};
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::records::{RawRecord, kind};
use crate::reproducible::difference;

/// Builds `job`, whose raw wheel is on record, once more in the same environment and compares the raw wheels.
///
/// An error of the kind [`JobErrorKind::Audit`] says what differs first. Time and container are other ones, and how
/// many processes the build may run is what there is room for now.
pub async fn reproduce(context: &Context, job: &Job) -> Result<(), JobError> {
    let id = job.id();
    let sdist = job.sdist()?;
    let recipe = context.recipe(job);
    let chain = Chain::new(job, None);
    let gone = || {
        let message =
            format!("{id}: what it was built from can no longer be had: it cannot be built again");
        JobError::new(JobErrorKind::Machine, message)
    };
    let (_, look) = raw::prepare(context, &chain, job, sdist, &recipe).await?;
    let RawLook::Missing(prepared) = look else {
        return Err(gone());
    };
    let record: Option<RawRecord> = context.store.record(kind::RAW, &prepared.key).await?;
    let Some(record) = record else {
        return Err(gone());
    };
    let pinned = prepared.environment.clone();
    let claim = raw::claim(context, job, sdist, &recipe).await?;
    let (image, environment) = environment::image(context, &id, &job.cell, &pinned, claim).await?;
    if environment != prepared.environment {
        return Err(gone());
    }
    let stage = Stage::Rebuild;
    let (action, result, _) =
        raw::execute(context, job, sdist, &recipe, &prepared, image, claim, stage).await?;
    let log = context.store.put(result.log.clone()).await?;
    let differs = |what: String| {
        let mut error = JobError::new(
            JobErrorKind::Audit,
            format!("{id}: it is not reproducible: {what}"),
        );
        error.log = Some(log);
        error
    };
    let (filename, second) = wheel_of(job, &action.limits, &result)
        .map_err(|reason| differs(format!("when it was built again, {reason}")))?;
    if filename == record.filename && Digest::of(&second) == record.wheel {
        return Ok(());
    }
    let first = context.store.file(&record.wheel).await?;
    let found = Wheel::from_file(first, record.filename)
        .and_then(|first| difference(&first, &Wheel::from_bytes(second, filename)?))
        .map_err(|error| JobError::new(JobErrorKind::Package, format!("{id}: {error}")))?;
    let hint = "look for times (SOURCE_DATE_EPOCH is set), random names and the order of directories in what builds it; `env` and `patches` of the package in wheelfarm.toml can change them";
    Err(differs(format!("two builds differ in {found}")).with_hint(Some(hint.to_owned())))
}
