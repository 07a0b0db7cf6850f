//! Resolving a cell's requirements, with the metadata of packages that state none.

use wheelfarm_resolve::{
    CompileOptions, CompileRequest, Lock, ResolveErrorKind, StaticMetadata, Wanted,
};
use wheelfarm_types::{ProjectName, Version};
use wheelfarm_wheel::Wheel;

use super::context::Context;
use super::{Job, raw};
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::matrix::Cell;

/// How many packages of one lock may state no metadata: a bound for a resolver that would ask for ever.
const LIMIT: usize = 200;

/// The lock of what is `wanted`, for `cell`.
///
/// The dependencies of some source distributions are known only by running their code. That is never done on this
/// machine: such a package is built at once, in its environment, and its wheel says what it requires. The wheel is
/// kept: what was built to be asked is what is handed out later.
pub async fn resolve(context: &Context, cell: &Cell, wanted: &Wanted) -> Result<Lock, JobError> {
    let request = wanted.request(cell.python, cell.target);
    let mut lock = compile(context, cell, &request).await?;
    wanted.restrict(&mut lock)?;
    Ok(lock)
}

async fn compile(
    context: &Context,
    cell: &Cell,
    request: &CompileRequest,
) -> Result<Lock, JobError> {
    let mut known: Vec<StaticMetadata> = Vec::new();
    while known.len() < LIMIT {
        let freshness = context.freshness;
        let compile =
            context
                .resolver
                .compile(request, &known, freshness.locks_not_before, freshness.now);
        let compile = async { Ok(compile.await) };
        match context.staged(&cell.id(), Stage::Resolve, compile).await?.0 {
            Ok(lock) => return Ok(lock),
            Err(error) if error.kind() == ResolveErrorKind::NeedsBuild => {
                let Some((project, version)) = error.needs_build() else {
                    return Err(error.into());
                };
                let asked_before = known
                    .iter()
                    .any(|known| known.name == *project && known.version == *version);
                if asked_before {
                    return Err(error.into());
                }
                let metadata = built_metadata(context, cell, project, version).await?;
                known.push(metadata);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let message = format!(
        "{}: more than {LIMIT} packages state no metadata",
        cell.id()
    );
    Err(JobError::new(JobErrorKind::Request, message))
}

/// Builds `project` in `cell` and reads what its wheel requires.
async fn built_metadata(
    context: &Context,
    cell: &Cell,
    project: &ProjectName,
    version: &Version,
) -> Result<StaticMetadata, JobError> {
    let mut metadata = StaticMetadata {
        name: project.clone(),
        version: version.clone(),
        requires_dist: Vec::new(),
        requires_python: None,
    };
    let failed = |error: String| {
        JobError::new(
            JobErrorKind::Package,
            format!("{project} {version}: {error}"),
        )
    };
    let requirement = format!("{project}=={version}");
    let request = CompileRequest {
        requirements: vec![
            requirement
                .parse()
                .map_err(|error| failed(format!("{error}")))?,
        ],
        constraints: Vec::new(),
        python: cell.python,
        target: cell.target,
        only_wheels: false,
        no_dependencies: true,
        options: CompileOptions::default(),
    };
    // Where its files are does not depend on what it requires, so any answer will do for this lock.
    let freshness = context.freshness;
    let lock = context
        .resolver
        .compile(
            &request,
            std::slice::from_ref(&metadata),
            freshness.locks_not_before,
            freshness.now,
        )
        .await?;
    let package = lock
        .packages
        .into_iter()
        .find(|package| package.name == *project);
    let Some(package) = package else {
        return Err(failed(
            "the resolver left it out of its own lock".to_owned(),
        ));
    };
    let Some(sdist) = package.sdist.clone() else {
        return Err(failed("the index has no source distribution".to_owned()));
    };
    let recipe = context.recipes.get(project, cell);
    let job = Job {
        package,
        cell: cell.clone(),
        from_source: true,
    };
    let (raw, ..) = raw::raw_wheel(context, &job, &sdist, &recipe).await?;
    let bytes = context.store.get(&raw.wheel).await?;
    let wheel =
        Wheel::from_bytes(bytes, raw.filename).map_err(|error| failed(error.to_string()))?;
    let file = wheel
        .metadata_file()
        .map_err(|error| failed(error.to_string()))?;
    metadata.requires_dist = file
        .requires_dist()
        .into_iter()
        .map(str::to_owned)
        .collect();
    metadata.requires_python = file.requires_python().map(str::to_owned);
    Ok(metadata)
}
