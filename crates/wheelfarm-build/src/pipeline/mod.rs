//! One job through all its stages: from a locked package to a wheel that is in the store.
//!
//! Each stage first asks the store whether its work is done, by the key of everything that goes into it; only a
//! miss costs a download, a container or an edit.

mod context;
mod environment;
mod fetched;
mod grafts;
mod ingredients;
mod outcome;
mod prove;
mod raw;
mod repair;
mod requires;
mod resolve;
mod slots;

pub use context::{Context, Flights, Freshness, Lanes};
pub use environment::prepare_image;
pub use prove::{ProveRequest, prove};
pub use resolve::resolve;
pub use slots::{Capacity, Claim, ORDINARY_MEMORY, Slot, Slots};

use wheelfarm_resolve::{LockedFile, LockedPackage};
use wheelfarm_types::{Digest, ProjectName, SdistFilename, Version, WheelFilename};

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
    /// Whether it was built with network: it may depend on what nobody recorded.
    pub network: bool,
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

    /// The index's wheel, if that is what is wanted.
    fn upstream(&self) -> Option<&LockedFile<WheelFilename>> {
        let wheel = self.package.best_wheel(self.cell.python, self.cell.target);
        wheel.filter(|_| !self.from_source)
    }

    /// Whether it takes more than a download.
    pub fn is_built(&self) -> bool {
        self.upstream().is_none()
    }
}

/// Runs `job` to its end.
pub async fn run(context: &Context, job: &Job) -> Result<Artifact, JobError> {
    if let Some(wheel) = job.upstream() {
        return fetched::fetch(context, job, wheel).await;
    }
    let Some(sdist) = &job.package.sdist else {
        let what = if job.from_source {
            "no source distribution"
        } else {
            "neither a wheel that fits nor a source distribution"
        };
        let message = format!("{}: the index has {what}", job.id());
        return Err(JobError::new(JobErrorKind::Request, message));
    };
    build(context, job, sdist).await
}

async fn build(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
) -> Result<Artifact, JobError> {
    let recipe = context.recipes.get(&job.package.name, &job.cell);
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
        network: raw.inputs.network,
    })
}
