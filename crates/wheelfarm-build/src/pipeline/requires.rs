//! The build requirements of a source distribution: stated and dynamic ones, resolved to hashed wheels.

use std::collections::BTreeMap;

use wheelfarm_resolve::{BuildSystem, CompileOptions, CompileRequest, LockedFile, build_system};
use wheelfarm_types::{Digest, Requirement, SdistFilename, WheelFilename};

use super::Job;
use super::context::Context;
use crate::environment::EnvironmentRecord;
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::recipes::{Patch, Recipe};
use crate::records::{BUILD_SCHEMA, RequiresInputs, RequiresRecord, SourceRecord, kind};

/// What the source says of how it is built: from the store, or read from the source distribution.
pub(super) async fn build_system_of(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
) -> Result<BuildSystem, JobError> {
    if let Some(record) = context
        .store
        .record::<SourceRecord>(kind::SOURCE, &sdist.sha256)
        .await?
    {
        return Ok(record.build_system);
    }
    let fetch = async {
        let _lane = context.fetching().await?;
        let digest = context.fetcher.fetch(sdist).await?;
        Ok(context.store.get(&digest).await?)
    };
    let (bytes, _) = context.staged(&job.id(), Stage::Fetch, fetch).await?;
    let record = SourceRecord {
        build_system: build_system(&sdist.filename, &bytes)?,
    };
    context
        .store
        .create_record(kind::SOURCE, &sdist.sha256, &record)
        .await?;
    Ok(record.build_system)
}

/// Under which key the back end's dynamic requirements are filed.
pub(super) fn dynamic_key(
    job: &Job,
    source: Digest,
    environment: &EnvironmentRecord,
    recipe: &Recipe,
    env: &BTreeMap<String, String>,
) -> Digest {
    crate::key::canonical_digest(&RequiresInputs {
        schema: BUILD_SCHEMA,
        source,
        python: job.cell.python,
        manifest: environment.manifest_digest(),
        config_settings: &recipe.config_settings,
        env,
        patches: recipe.patches.iter().map(Patch::digest).collect(),
        network: recipe.network,
    })
}

/// The dynamic requirements on file under `key`; none on file is none known.
pub(super) async fn dynamic(context: &Context, key: &Digest) -> Result<Vec<Requirement>, JobError> {
    let record = context
        .store
        .record::<RequiresRecord>(kind::REQUIRES, key)
        .await?;
    Ok(record.map(|record| record.requires).unwrap_or_default())
}

/// Files what the back end asked for.
pub(super) async fn file_dynamic(
    context: &Context,
    key: &Digest,
    requires: Vec<Requirement>,
) -> Result<(), JobError> {
    context
        .store
        .create_record(kind::REQUIRES, key, &RequiresRecord { requires })
        .await?;
    Ok(())
}

/// Resolves `requirements` to wheels for the job's Python on the builder's own C library.
pub(super) async fn lock(
    context: &Context,
    job: &Job,
    requirements: Vec<Requirement>,
) -> Result<Vec<LockedFile<WheelFilename>>, JobError> {
    if requirements.is_empty() {
        return Ok(Vec::new());
    }
    let request = CompileRequest {
        requirements,
        constraints: Vec::new(),
        python: job.cell.python,
        target: job.cell.image.target,
        only_wheels: true,
        no_dependencies: false,
        options: CompileOptions::default(),
    };
    let freshness = context.freshness;
    let lane = context.resolving().await?;
    let lock = context
        .resolver
        .compile(
            &request,
            &[],
            freshness.build_requires_not_before,
            freshness.now,
        )
        .await?;
    drop(lane);
    let mut wheels = Vec::new();
    for package in lock.packages {
        let Some(wheel) = package.best_wheel(job.cell.python, job.cell.image.target) else {
            let message = format!(
                "the build requirement {} {} has no wheel for {}",
                package.name,
                package.version,
                job.cell.id()
            );
            return Err(JobError::new(JobErrorKind::Package, message));
        };
        wheels.push(wheel.clone());
    }
    Ok(wheels)
}
