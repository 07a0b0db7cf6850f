//! Failures that are remembered: the same build would fail again, so it is not tried for a while.
//!
//! Only failures of packages, under the key of everything that went into the build, and under the same limits: with
//! more time or memory it may succeed. What this machine did (its engine,
//! its network, its disk) is nobody's fault and is tried again by the next run; so is a build that used the network.

use wheelfarm_types::Digest;

use super::Job;
use super::context::Context;
use super::outcome::failed;
use crate::action::Limits;
use crate::error::JobError;
use crate::recipes::Recipe;
use crate::records::{FailureLimits, FailureRecord, RawInputs, kind};

/// How many failures of one key may be filed in one second.
const SAME_SECOND: usize = 100;

/// Files a failure of the build with `key`.
pub(super) async fn remember(
    context: &Context,
    key: &Digest,
    failure: &FailureRecord,
) -> Result<(), JobError> {
    let now = context.freshness.at_this_moment();
    for number in (now..).take(SAME_SECOND) {
        let created = context.store.append(kind::FAILURE, key, number, failure);
        if created.await? == wheelfarm_store::Created::New {
            break;
        }
    }
    Ok(())
}

/// The record of a build of `inputs` that failed for `reason`, under `limits`.
pub(super) fn record(
    inputs: RawInputs,
    log: Digest,
    reason: &str,
    limits: &Limits,
) -> FailureRecord {
    FailureRecord {
        inputs,
        log,
        reason: reason.to_owned(),
        limits: Some(in_force(limits)),
    }
}

/// The error of a build that failed before, if that is remembered.
pub(super) async fn remembered(
    context: &Context,
    job: &Job,
    recipe: &Recipe,
    key: &Digest,
    limits: &Limits,
) -> Result<Option<JobError>, JobError> {
    if recipe.network {
        return Ok(None);
    }
    let last = context
        .store
        .latest::<FailureRecord>(kind::FAILURE, key)
        .await?;
    let Some((at, failure)) = last else {
        return Ok(None);
    };
    let other_limits = failure
        .limits
        .as_ref()
        .is_some_and(|limits_then| *limits_then != in_force(limits));
    let now = context.freshness.at_this_moment();
    if at < context.freshness.failures_not_before
        || other_limits
        || !context.store.contains(&failure.log).await?
    {
        return Ok(None);
    }
    let text = context.store.get(&failure.log).await?;
    let reason = format!(
        "failed before ({} ago), not tried again: {}",
        ago(now.saturating_sub(at)),
        failure.reason
    );
    let error = failed(context, job, recipe, &reason, failure.log, &text).await;
    Ok(Some(
        error.and_hint("`--retry-failed` tries it again".to_owned()),
    ))
}

fn in_force(limits: &Limits) -> FailureLimits {
    FailureLimits {
        seconds: limits.time.as_secs(),
        memory: limits.memory,
        scratch: limits.scratch,
    }
}

/// `50 s`, `7 min`, `3 h`: rounded down.
fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down() {
        assert_eq!(ago(59), "59 s");
        assert_eq!(ago(3599), "59 min");
        assert_eq!(ago(7300), "2 h");
    }
}
