//! Whether one build of a source may serve several Pythons: known from builds before, else guessed from the source.
//!
//! A guess decides only about order. If builds for several Pythons begin at once, none of them can serve another; if
//! the lowest goes first, and its wheel serves that Python alone, the others have waited for nothing.

use serde::{Deserialize, Serialize};
use wheelfarm_resolve::{SOURCE_LIMIT, hints_at_sharing};
use wheelfarm_types::{Digest, PythonVersion};

use super::Job;
use super::context::Context;
use crate::error::JobError;
use crate::records::kind;

/// What a build of the source for one Python gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcome {
    shared: bool,
}

/// What the source looks like.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Guess {
    may_be_shared: bool,
}

fn outcome_key(source: Digest, python: PythonVersion) -> Digest {
    crate::key::canonical_digest(&(source, python))
}

/// Notes whether a build of `source` for `python` left a wheel that may serve others.
pub(super) async fn learn(
    context: &Context,
    source: Digest,
    python: PythonVersion,
    shared: bool,
) -> Result<(), JobError> {
    let key = outcome_key(source, python);
    context
        .store
        .create_record(kind::SHARING, &key, &Outcome { shared })
        .await?;
    Ok(())
}

/// Whether the wheel that `job` builds may serve higher Pythons too: so that those had better wait for it.
///
/// A build of the same source for the same Python tells. If there was none, a source without compiled code does, and
/// one whose build files name the stable ABI.
pub async fn may_be_shared(context: &Context, job: &Job) -> Result<bool, JobError> {
    let Some(sdist) = &job.package.sdist else {
        return Ok(false);
    };
    let store = &context.store;
    let learned = outcome_key(sdist.sha256, job.cell.python);
    if let Some(outcome) = store.record::<Outcome>(kind::SHARING, &learned).await? {
        return Ok(outcome.shared);
    }
    let guess = store.record::<Guess>(kind::SHARING, &sdist.sha256).await?;
    if let Some(guess) = guess {
        return Ok(guess.may_be_shared);
    }
    let lane = context.fetching().await?;
    let digest = context.fetcher.fetch(sdist).await?;
    let bytes = store.get_up_to(&digest, SOURCE_LIMIT).await?;
    drop(lane);
    let filename = sdist.filename.clone();
    let guess = super::context::run_cpu(move || {
        Ok(Guess {
            may_be_shared: hints_at_sharing(&filename, &bytes),
        })
    })
    .await?;
    store
        .create_record(kind::SHARING, &sdist.sha256, &guess)
        .await?;
    Ok(guess.may_be_shared)
}
