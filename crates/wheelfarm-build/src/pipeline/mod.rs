//! One job through all its stages: from a locked package to a wheel that is in the store.
//!
//! Each stage first asks the store whether its work is done, by the key of everything that goes into it; only a
//! miss costs a download, a container or an edit.

mod added;
mod ahead;
mod chain;
mod context;
mod environment;
mod explain;
mod failures;
mod grafts;
mod ingredients;
mod memo;
mod needs;
mod outcome;
mod outlook;
mod prove;
mod provides;
mod raw;
mod repair;
mod reproduce;
mod requires;
mod resolve;
mod runtime;
mod sharing;
mod sibling;
mod slots;
mod spool;
mod upstream;

pub use added::{Added, AddedPackages};
pub use context::{Context, Flights, Freshness, Lanes};
pub(crate) use environment::installable;
pub use environment::{prepare_image, recorded_environments, renew, seen_image};
pub use explain::{Explanation, explain};
pub use memo::Memo;
pub use outcome::recipe_lines;
pub use outlook::{Next, Outlook, look};
pub use prove::{ProveRequest, prove, proved};
pub use raw::{Prepared, RawWheel};
pub use reproduce::reproduce;
pub use resolve::{Attempt, resolve, try_resolve};
pub use sharing::may_be_shared;
pub use slots::{Capacity, Claim, ORDINARY_MEMORY, Slot, Slots};

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use wheelfarm_resolve::{LockedFile, LockedPackage};
use wheelfarm_types::{Digest, ProjectName, SdistFilename, Version, WheelFilename};

use self::chain::Chain;
use crate::error::{JobError, JobErrorKind};
use crate::matrix::Cell;
use crate::records::{SystemLibrary, Vendored};

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
    /// The index's own wheel if it has one that runs on the target, else a build.
    Reuse,
    /// The index's own wheel, as it is; never a build.
    OnlyUpstream,
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
    /// Why so, in a few words.
    pub because: String,
    /// What is to be known of a wheel of the index: what it claims and does not hold.
    pub findings: Vec<String>,
    /// Libraries put into it by repair; of a wheel of the index, those that it carries.
    pub vendored: Vec<Vendored>,
    /// Libraries that it needs of the system it runs on, beside those that every system has.
    pub system: Vec<SystemLibrary>,
    /// Modules to import when it is proved; empty for wheels of the index, which are not ours to prove.
    pub modules: Vec<String>,
    /// The recipe's test command.
    pub test: Option<String>,
    /// Whether it was built with network: it may depend on what nobody recorded.
    pub network: bool,
    /// System packages that were added for its build to succeed.
    pub added: Option<AddedPackages>,
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
    /// Built for a lower Python, and serves this one as well.
    Reused,
    /// The index's own wheel.
    Index,
}

impl Artifact {
    /// The system packages that it needs where it runs, sorted.
    pub fn runtime_packages(&self) -> BTreeSet<&str> {
        self.system
            .iter()
            .filter_map(|library| library.package.as_deref())
            .collect()
    }
}

impl Origin {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Cached => "cached",
            Self::Reused => "reused",
            Self::Index => "index",
        }
    }
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

    /// The project's directory inside its source, if it is not the top.
    pub(crate) fn subdirectory(&self) -> Option<&str> {
        self.package.source.as_ref()?.subdirectory.as_deref()
    }

    /// Identifies the project in its source: `sdist`, and where it is in there.
    pub(crate) fn source_key(&self, sdist: &LockedFile<SdistFilename>) -> Digest {
        match self.subdirectory() {
            Some(subdirectory) => Digest::of(format!("{} {subdirectory}", sdist.sha256)),
            None => sdist.sha256,
        }
    }

    /// Whether the version is known from the source, or from the index, before it is built.
    pub(crate) fn version_is_stated(&self) -> bool {
        !self.package.version_is_untold()
    }

    /// Its source distribution.
    fn sdist(&self) -> Result<&LockedFile<SdistFilename>, JobError> {
        self.package.sdist.as_ref().ok_or_else(|| {
            let message = format!("{}: the index has no source distribution", self.id());
            JobError::new(JobErrorKind::Request, message)
        })
    }
}

/// How many steps lead to a wheel at most: the index's wheel, an environment, build requirements whose metadata nobody
/// states, what the back end asks for, the build, the repair. A bound for a back end that asks for something else each
/// time.
const STEPS: usize = 40;

/// Runs `job` to its end: looks how far it is, does what comes next, and looks again.
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
        let chain = Chain::new(job, outer);
        let mut built = None;
        for _ in 0..STEPS {
            let recipe = context.recipe(job);
            let look = outlook::look_in(context, job, outer).await?;
            let Outlook {
                next,
                because,
                refused,
            } = look;
            let in_context = |error| {
                if refused {
                    instead(error, &because)
                } else {
                    error
                }
            };
            match next {
                Next::Ready(mut artifact) => {
                    if let Some(because) = built {
                        artifact.origin = Origin::Built;
                        artifact.because = because;
                    }
                    artifact.added = context.added.of(job, &recipe);
                    return Ok(*artifact);
                }
                Next::Fetch(wheel) => upstream::settle(context, job, &wheel, &recipe).await?,
                Next::Environment => {
                    raw::make_environment(context, job, job.sdist()?, &recipe).await?;
                }
                Next::Requires(jobs) => requires::run(context, &chain, job, &jobs).await?,
                Next::Build(prepared) => {
                    let sdist = job.sdist()?;
                    let work = raw::build(context, job, sdist, &recipe, *prepared).await;
                    if let Err(error) = &work
                        && context.add_missing(job, &recipe, error)
                    {
                        continue;
                    }
                    if work.map_err(in_context)? {
                        built = Some(because);
                    }
                }
                Next::Repair(raw) => {
                    let work = repair::repaired_wheel(context, job, &raw, &recipe).await;
                    // What was repaired before under another name is not built now.
                    if work.map_err(in_context)? && raw.reused.is_none() {
                        built.get_or_insert(because);
                    }
                }
            }
        }
        Err(raw::restless(job))
    })
}

/// An error of a build that would not have been begun had the index's wheel run on the target.
fn instead(error: JobError, because: &str) -> JobError {
    let hint = error.hint.clone().unwrap_or_else(|| {
        "`--only-upstream` with its name takes the index's wheel all the same".to_owned()
    });
    JobError {
        message: format!("{} ({because})", error.message),
        ..error
    }
    .with_hint(Some(hint))
}
