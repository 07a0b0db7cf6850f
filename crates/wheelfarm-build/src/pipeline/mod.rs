//! One job through all its stages: from a locked package to a wheel that is in the store.
//!
//! Each stage first asks the store whether its work is done, by the key of everything that goes into it; only a
//! miss costs a download, a container or an edit.

mod context;
mod environment;
mod fetched;
mod prove;
mod raw;
mod repair;
mod requires;

pub use context::{Context, Flights, Freshness};
pub use prove::{ProveRequest, prove};

use wheelfarm_resolve::LockedPackage;
use wheelfarm_types::{Digest, ProjectName, Version, WheelFilename};

use crate::error::{JobError, JobErrorKind};
use crate::matrix::Cell;
use crate::records::Vendored;

/// A package to be had as a wheel, in one cell of the matrix.
#[derive(Debug, Clone)]
pub struct Job {
    /// What.
    pub package: LockedPackage,
    /// Where and for what.
    pub cell: Cell,
    /// Build it even if the index has a wheel.
    pub from_source: bool,
}

/// A wheel in the store, and how it came there.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// Project.
    pub project: ProjectName,
    /// Version.
    pub version: Version,
    /// File name.
    pub filename: WheelFilename,
    /// Its bytes.
    pub wheel: Digest,
    /// Size in bytes.
    pub size: u64,
    /// How it came.
    pub origin: Origin,
    /// Libraries put into it by repair.
    pub vendored: Vec<Vendored>,
    /// Modules to import when it is proved; empty for wheels of the index, which are not ours to prove.
    pub modules: Vec<String>,
    /// The recipe's test command.
    pub test: Option<String>,
}

/// How an artifact came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Built and repaired now.
    Built,
    /// Built before: taken from the store.
    Cached,
    /// The index's own wheel.
    Index,
}

impl Job {
    /// Names the job in events.
    pub fn id(&self) -> String {
        format!(
            "{} {} {}",
            self.package.name,
            self.package.version,
            self.cell.id()
        )
    }
}

/// Runs `job` to its end.
pub async fn run(context: &Context, job: &Job) -> Result<Artifact, JobError> {
    let upstream = job.package.best_wheel(job.cell.python, job.cell.target);
    match (upstream, &job.package.sdist) {
        (Some(wheel), _) if !job.from_source => fetched::fetch(context, job, wheel).await,
        (_, Some(sdist)) => build(context, job, sdist).await,
        (Some(_), None) => Err(JobError::new(
            JobErrorKind::Request,
            format!(
                "{} {} has no source distribution to build from",
                job.package.name, job.package.version
            ),
        )),
        (None, None) => Err(JobError::new(
            JobErrorKind::Request,
            format!(
                "{} {} has neither a wheel for {} nor a source distribution",
                job.package.name,
                job.package.version,
                job.cell.id()
            ),
        )),
    }
}

async fn build(
    context: &Context,
    job: &Job,
    sdist: &wheelfarm_resolve::LockedFile<wheelfarm_types::SdistFilename>,
) -> Result<Artifact, JobError> {
    let recipe = context.recipes.get(&job.package.name);
    let (raw, environment, built) = raw::raw_wheel(context, job, sdist, &recipe).await?;
    let (record, repaired) =
        repair::repaired_wheel(context, job, &raw, &environment, &recipe).await?;
    Ok(Artifact {
        project: job.package.name.clone(),
        version: job.package.version.clone(),
        filename: record.filename,
        wheel: record.wheel,
        size: record.size,
        origin: if built || repaired {
            Origin::Built
        } else {
            Origin::Cached
        },
        vendored: record.vendored,
        modules: record.modules,
        test: recipe.test,
    })
}
