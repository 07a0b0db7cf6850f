//! Wheels that the index has: fetched by hash and handed on as they are.

use wheelfarm_resolve::LockedFile;
use wheelfarm_types::WheelFilename;

use super::context::Context;
use super::{Artifact, Job, Origin};
use crate::error::JobError;
use crate::event::Stage;

pub(super) async fn fetch(
    context: &Context,
    job: &Job,
    wheel: &LockedFile<WheelFilename>,
) -> Result<Artifact, JobError> {
    let digest = if context.store.contains(&wheel.sha256).await? {
        wheel.sha256
    } else {
        let fetch = async {
            let _lane = context.fetching().await?;
            Ok(context.fetcher.fetch(wheel).await?)
        };
        context.staged(&job.id(), Stage::Fetch, fetch).await?.0
    };
    Ok(Artifact {
        project: job.package.name.clone(),
        version: job.package.version.clone(),
        filename: wheel.filename.clone(),
        wheel: digest,
        size: context.store.size(&digest).await?,
        origin: Origin::Index,
        vendored: Vec::new(),
        modules: Vec::new(),
        test: None,
        network: false,
        requires: Vec::new(),
    })
}
