//! One job through all its stages: from a locked package to a wheel that is in the store.
//!
//! Each stage first asks the store whether its work is done, by the key of everything that goes into it; only a
//! miss costs a download, a container or an edit.

mod ahead;
mod chain;
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

use std::sync::Arc;

use futures::future::BoxFuture;
use wheelfarm_resolve::{LockedFile, LockedPackage};
use wheelfarm_types::{Digest, ProjectName, SdistFilename, Version, WheelFilename};

use self::chain::Chain;
use self::raw::{RawLook, RawWheel};
use crate::error::{JobError, JobErrorKind};
use crate::matrix::Cell;
use crate::provenance;
use crate::recipes::Recipe;
use crate::records::{Vendored, WheelRecord};

/// A package to be had as a wheel, in one cell of the matrix.
#[derive(Debug, Clone)]
pub struct Job {
    /// What.
    pub package: LockedPackage,
    /// Where and for what.
    pub cell: Arc<Cell>,
    /// Whether it may be built, and whether it must.
    pub choice: Choice,
    /// What it is wanted for.
    pub purpose: Purpose,
}

/// Where a wheel may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The index's own wheel if it has one that fits, else a build.
    Reuse,
    /// A build, even if the index has a wheel.
    FromSource,
}

/// What a wheel is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be handed out.
    Wanted,
    /// To build another: it stays in builders like the one it is built in, is not proved and has no build tag.
    BuildRequirement,
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
    /// Build requirements that were built for it, since the index has no wheels of them.
    pub requires: Vec<Artifact>,
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
        wheel.filter(|_| self.choice == Choice::Reuse)
    }

    /// Whether it takes more than a download.
    pub fn is_built(&self) -> bool {
        self.upstream().is_none()
    }
}

/// How far a job is.
#[derive(Debug)]
enum Look {
    /// Its wheel is in the store.
    Ready(Box<Artifact>),
    /// There is work to do.
    Work,
}

/// Looks how far `job` is, which is wanted for `outer`. Starts nothing.
fn look_in<'a>(
    context: &'a Context,
    job: &'a Job,
    outer: Option<&'a Chain<'a>>,
) -> BoxFuture<'a, Result<Look, JobError>> {
    Box::pin(async move {
        if job.upstream().is_some() {
            return Ok(Look::Work);
        }
        let sdist = source_of(job)?;
        let recipe = context.recipes.get(&job.package.name, &job.cell);
        let chain = Chain::new(job, outer);
        let RawLook::Found(raw) = raw::look(context, &chain, job, sdist, &recipe).await? else {
            return Ok(Look::Work);
        };
        Ok(match repair::look(context, job, &raw, &recipe).await? {
            Some(record) => Look::Ready(Box::new(artifact(job, *raw, record, recipe, false))),
            None => Look::Work,
        })
    })
}

/// Runs `job` to its end.
pub async fn run(context: &Context, job: &Job) -> Result<Artifact, JobError> {
    run_in(context, job, None).await
}

/// Runs `job`, which is wanted for `outer`, to its end.
fn run_in<'a>(
    context: &'a Context,
    job: &'a Job,
    outer: Option<&'a Chain<'a>>,
) -> BoxFuture<'a, Result<Artifact, JobError>> {
    Box::pin(async move {
        if let Some(wheel) = job.upstream() {
            return fetched::fetch(context, job, wheel).await;
        }
        let sdist = source_of(job)?;
        let recipe = context.recipes.get(&job.package.name, &job.cell);
        let chain = Chain::new(job, outer);
        let raw = raw::raw_wheel(context, &chain, job, sdist, &recipe).await?;
        let (record, repaired) = repair::repaired_wheel(context, job, &raw, &recipe).await?;
        provenance::file(&context.store, &record, &raw.record, &raw.environment).await?;
        Ok(artifact(job, raw, record, recipe, repaired))
    })
}

/// The source distribution of `job`, which has to be built.
fn source_of(job: &Job) -> Result<&LockedFile<SdistFilename>, JobError> {
    job.package.sdist.as_ref().ok_or_else(|| {
        let what = match job.choice {
            Choice::FromSource => "no source distribution",
            Choice::Reuse => "neither a wheel that fits nor a source distribution",
        };
        let message = format!("{}: the index has {what}", job.id());
        JobError::new(JobErrorKind::Request, message)
    })
}

fn artifact(
    job: &Job,
    raw: RawWheel,
    record: WheelRecord,
    recipe: Recipe,
    repaired: bool,
) -> Artifact {
    Artifact {
        project: job.package.name.clone(),
        version: job.package.version.clone(),
        filename: record.filename,
        wheel: record.wheel,
        size: record.size,
        origin: if raw.built || repaired {
            Origin::Built
        } else {
            Origin::Cached
        },
        vendored: record.vendored,
        modules: record.modules,
        test: recipe.test,
        network: raw.record.inputs.network || raw.requires.iter().any(|built| built.network),
        requires: raw.requires,
    }
}
