//! Building side by side what a resolution would ask for one after the other.
//!
//! The resolver stops at the first package that states no metadata, and asks for the next when it knows that one's.
//! Most of them require little, so it is assumed that they require nothing: the resolver then names the next at
//! once. All that it names are built, and their wheels say what is true. A wrong assumption costs a build that was
//! not wanted, of a version that was wanted at first; the lock is made of what is true.

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{StreamExt, lock::Mutex};
use wheelfarm_resolve::{CompileRequest, StaticMetadata};
use wheelfarm_types::{ProjectName, Version};

use super::chain::Chain;
use super::context::Context;
use super::resolve::{LIMIT, metadata_of, sdist_of, unstated};
use super::{Job, raw};
use crate::error::JobError;

/// Builds `first`, which the resolver asks for, and what it will ask for next; what their wheels require. Only
/// what becomes of `first` can fail: the others may turn out not to be wanted.
pub(super) async fn build(
    context: &Context,
    request: &CompileRequest,
    first: Job,
    known: &[StaticMetadata],
) -> Result<Vec<StaticMetadata>, JobError> {
    let (found, others) = unbounded();
    let learned = Mutex::new(Vec::new());
    let look = look_ahead(context, request, &first, known, found);
    let others = others.for_each_concurrent(None, |job: Job| async {
        // One that fails is asked for again if it is wanted, and says why then.
        if let Ok(metadata) = built_metadata(context, job).await {
            learned.lock().await.push(metadata);
        }
    });
    let (metadata, (), ()) = futures::join!(built_metadata(context, first.clone()), look, others);
    let mut learned = learned.into_inner();
    learned.push(metadata?);
    Ok(learned)
}

async fn built_metadata(context: &Context, job: Job) -> Result<StaticMetadata, JobError> {
    let recipe = context.recipes.get(&job.package.name, &job.cell);
    let chain = Chain::new(&job, None);
    let raw = raw::raw_wheel(context, &chain, &job, sdist_of(&job)?, &recipe).await?;
    metadata_of(context, &job, raw).await
}

/// Sends the packages without metadata that the resolver names when those before require nothing.
async fn look_ahead(
    context: &Context,
    request: &CompileRequest,
    first: &Job,
    known: &[StaticMetadata],
    found: UnboundedSender<Job>,
) {
    let mut assumed = known.to_vec();
    assumed.push(nothing(&first.package.name, &first.package.version));
    while assumed.len() < LIMIT {
        let Ok(lane) = context.resolving().await else {
            return;
        };
        let foreseen = context.resolver.foresee(request, &assumed).await;
        drop(lane);
        // It has a lock, or what was assumed leads nowhere: either way nothing more is named.
        let Err(error) = foreseen else { return };
        let Some((project, version)) = error.needs_build() else {
            return;
        };
        let named = |known: &StaticMetadata| known.name == *project && known.version == *version;
        if assumed.iter().any(named) {
            return;
        }
        let not_before = context.freshness.locks_not_before;
        let job = unstated(context, &first.cell, project, version, not_before).await;
        assumed.push(nothing(project, version));
        if let Ok(job) = job
            && found.unbounded_send(job).is_err()
        {
            return;
        }
    }
}

/// What is assumed of a package that states nothing.
pub(super) fn nothing(name: &ProjectName, version: &Version) -> StaticMetadata {
    StaticMetadata {
        name: name.clone(),
        version: version.clone(),
        requires_dist: Vec::new(),
        requires_python: None,
    }
}
