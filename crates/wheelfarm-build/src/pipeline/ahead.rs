//! Building side by side what a resolution would ask for one after the other.
//!
//! The resolver stops at the first package that states no metadata, and asks for the next when it knows that one's.
//! Most of them require little, so it is assumed that they require nothing: the resolver then names the next at
//! once. All that it names are built, and their wheels say what is true. A wrong assumption costs a build that was
//! not wanted, of a version that was wanted at first; the lock is made of what is true.

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{StreamExt, lock::Mutex};
use wheelfarm_resolve::{CompileRequest, StaticMetadata};

use super::chain::Chain;
use super::context::Context;
use super::resolve::{LIMIT, Told, is, job_for, metadata_of, nothing_of, sdist_of};
use super::{Job, raw};
use crate::error::{JobError, JobErrorKind};

/// Builds `first`, which the resolver asks for, and what it will ask for next, and notes in `told` what their wheels
/// require, and which fail to build.
///
/// It is an error if `first` fails in a way that says nothing of the package, or its version is not known without its
/// wheel; what becomes of the others does not matter before they are asked for.
pub(super) async fn build(
    context: &Context,
    request: &CompileRequest,
    first: Job,
    told: &mut Told,
) -> Result<(), JobError> {
    let (found, others) = unbounded();
    let learned = Mutex::new(Vec::new());
    let look = look_ahead(context, request, &first, told.all(), found);
    let others = others.for_each_concurrent(None, |job: Job| async {
        let metadata = built(context, &job).await;
        learned.lock().await.push((job, metadata));
    });
    let (metadata, (), ()) = futures::join!(built(context, &first), look, others);
    match metadata {
        Err(error) if error.kind != JobErrorKind::Package => return Err(error),
        Err(error) if first.package.version_is_untold() => return Err(error),
        metadata => learned.lock().await.push((first, metadata)),
    }
    for (job, metadata) in learned.into_inner() {
        match metadata {
            Ok(metadata) => told.known.push(metadata),
            // It is built once more as a job, which says why it fails.
            Err(_) => told.failed.push(nothing_of(&job.package)),
        }
    }
    Ok(())
}

/// What the wheel of `job` requires, built if it never was.
pub(super) async fn built(context: &Context, job: &Job) -> Result<StaticMetadata, JobError> {
    let chain = Chain::new(job, None);
    loop {
        let recipe = context.recipe(job);
        match raw::raw_wheel(context, &chain, job, sdist_of(job)?, &recipe).await {
            Err(error) if context.add_missing(job, &recipe, &error) => {}
            raw => return metadata_of(context, job, raw?).await,
        }
    }
}

/// Sends the packages without metadata that the resolver names when those before require nothing.
async fn look_ahead(
    context: &Context,
    request: &CompileRequest,
    first: &Job,
    mut assumed: Vec<StaticMetadata>,
    found: UnboundedSender<Job>,
) {
    assumed.push(nothing_of(&first.package));
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
        let version = version.as_ref();
        if assumed.iter().any(|known| is(known, project, version)) {
            return;
        }
        let not_before = context.freshness.locks_not_before;
        let job = job_for(context, &first.cell, request, project, version, not_before).await;
        let Ok(Some(job)) = job else { return };
        assumed.push(nothing_of(&job.package));
        if found.unbounded_send(job).is_err() {
            return;
        }
    }
}
