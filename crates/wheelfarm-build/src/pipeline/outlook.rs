//! How far a job is, and what comes next: the one place where it is decided where a wheel comes from.
//!
//! [`look`] only reads: the store, the index, what this machine has. Plans show what it finds; runs carry it out and
//! look again, until the wheel is there. The order is
//!
//! 1. the index's wheel, if it runs on the target (audited once), unless a build is asked for;
//! 2. a wheel under the exact key of everything that goes into it;
//! 3. one that was built for a lower Python and serves this one (`sibling.rs`);
//! 4. a build.
//!
//! That the index's wheel comes before what was built once keeps the outcome of a request from depending on what
//! others have asked the same store for.

use futures::future::BoxFuture;
use wheelfarm_resolve::{LockedFile, LockedPackage};
use wheelfarm_types::{SdistFilename, WheelFilename};

use super::chain::Chain;
use super::context::Context;
use super::raw::{Prepared, RawLook, RawWheel};
use super::{Artifact, Choice, Job, Origin, Purpose, raw, repair, upstream};
use crate::error::{JobError, JobErrorKind};
use crate::recipes::{Recipe, Vendoring};
use crate::records::WheelOutcome;

/// How far a job is.
#[derive(Debug)]
pub struct Outlook {
    /// What comes next.
    pub next: Next,
    /// Why it is not less, in a few words.
    pub because: String,
    /// Whether the index has a wheel that would have been taken if it ran on the target.
    pub refused: bool,
}

/// Why the index's wheel is not taken.
struct Passed {
    because: String,
    /// It does not run on the target.
    refused: bool,
}

impl Passed {
    fn by_choice(because: &str) -> Self {
        Self {
            because: because.to_owned(),
            refused: false,
        }
    }
}

/// What comes next for a job.
#[derive(Debug)]
pub enum Next {
    /// Nothing: its wheel is in the store.
    Ready(Box<Artifact>),
    /// The index's wheel is fetched and audited. If it does not run on the target, a build may follow.
    Fetch(LockedFile<WheelFilename>),
    /// Its environment is made; what is built after it is not known before.
    Environment,
    /// These build requirements, which have no wheels, are built; what is built after it is not known before.
    Requires(Vec<Job>),
    /// It is built.
    Build(Box<Prepared>),
    /// Its raw wheel, which is there, is audited and repaired.
    Repair(Box<RawWheel>),
}

/// Looks how far `job` is. Makes no environment and builds nothing; a source distribution that was never seen is
/// fetched, since it says what it is built with.
pub async fn look(context: &Context, job: &Job) -> Result<Outlook, JobError> {
    look_in(context, job, None).await
}

/// Looks how far `job` is, which is wanted for `outer`.
pub(super) fn look_in<'a>(
    context: &'a Context,
    job: &'a Job,
    outer: Option<&'a Chain<'a>>,
) -> BoxFuture<'a, Result<Outlook, JobError>> {
    Box::pin(async move {
        let recipe = context.recipe(job);
        let Passed { because, refused } = match from_index(context, job, &recipe).await? {
            Ok(outlook) => return Ok(outlook),
            Err(passed) => passed,
        };
        let Some(sdist) = &job.package.sdist else {
            let message = format!("{}: the index has no source distribution", job.id());
            return Err(JobError::new(JobErrorKind::Request, message));
        };
        let chain = Chain::new(job, outer);
        let next = match raw::look(context, &chain, job, sdist, &recipe).await? {
            RawLook::Environment => Next::Environment,
            RawLook::Requires(jobs) => Next::Requires(jobs),
            RawLook::Missing(prepared) => Next::Build(prepared),
            RawLook::Found(raw) => match repair::look(context, job, &raw, &recipe).await? {
                Some(record) => Next::Ready(Box::new(built(job, &raw, record, recipe))),
                None => Next::Repair(raw),
            },
        };
        Ok(Outlook {
            next,
            because,
            refused,
        })
    })
}

/// The outlook if the index's wheel is taken; else why it is not.
async fn from_index(
    context: &Context,
    job: &Job,
    recipe: &Recipe,
) -> Result<Result<Outlook, Passed>, JobError> {
    let wheel = match job.choice {
        Choice::FromSource => return Ok(Err(Passed::by_choice("asked for from source"))),
        Choice::Reuse if !recipe.patches.is_empty() => {
            return Ok(Err(Passed::by_choice("its source is to be patched")));
        }
        Choice::Reuse if recipe.vendor == Vendoring::System => {
            return Ok(Err(Passed::by_choice(
                "its libraries are to be the system's",
            )));
        }
        Choice::Reuse | Choice::OnlyUpstream => {
            job.package.best_wheel(job.cell.python, job.cell.target)
        }
    };
    let only = job.choice == Choice::OnlyUpstream;
    let Some(wheel) = wheel else {
        if only || job.package.sdist.is_none() {
            return Err(no_wheel(job, only));
        }
        return Ok(Err(Passed::by_choice("the index has no wheel that fits")));
    };
    let fetch = |because: String| {
        Ok(Outlook {
            next: Next::Fetch(wheel.clone()),
            because,
            refused: false,
        })
    };
    let Some(record) = upstream::known(context, job, wheel, recipe).await? else {
        return Ok(fetch("the index has a wheel, to be audited".to_owned()));
    };
    let because = match record.problems.as_slice() {
        [] => "the index's wheel runs on the target".to_owned(),
        problems if only || job.package.sdist.is_none() => {
            let why = if only {
                "no other is to be taken"
            } else {
                "there is no source distribution"
            };
            format!("the index's wheel {}; {why}", problems.join("; "))
        }
        problems => {
            let because = format!(
                "the index's wheel {} was not taken: it {}",
                wheel.filename,
                problems.join("; ")
            );
            return Ok(Err(Passed {
                because,
                refused: true,
            }));
        }
    };
    if !context.store.contains(&wheel.sha256).await? {
        return Ok(fetch(because));
    }
    let artifact = upstream::artifact(context, job, wheel, record, because.clone()).await?;
    Ok(Ok(Outlook {
        next: Next::Ready(Box::new(artifact)),
        because,
        refused: false,
    }))
}

fn no_wheel(job: &Job, only: bool) -> JobError {
    let LockedPackage { sdist, wheels, .. } = &job.package;
    let source: Option<&LockedFile<SdistFilename>> = sdist.as_ref();
    let message = if only {
        format!(
            "{}: the index has no wheel that fits, and it is not to be built (--only-upstream)",
            job.id()
        )
    } else {
        format!(
            "{}: the index has neither a wheel that fits nor a source distribution",
            job.id()
        )
    };
    let hint = match (wheels.is_empty(), source) {
        (_, Some(source)) if only => {
            Some(format!("{source} could be built", source = source.filename))
        }
        _ => None,
    };
    JobError::new(JobErrorKind::Request, message).with_hint(hint)
}

/// The wheel of `record`, which was built before.
fn built(job: &Job, raw: &RawWheel, record: WheelOutcome, recipe: Recipe) -> Artifact {
    let (origin, because) = match raw.reused {
        Some(python) => (
            Origin::Reused,
            format!(
                "built for Python {python} from the same source in the same environment, as {}",
                raw.record.filename
            ),
        ),
        None => (
            Origin::Cached,
            match job.purpose {
                Purpose::Wanted => "built before from the same inputs".to_owned(),
                Purpose::BuildRequirement => "built before as a build requirement".to_owned(),
            },
        ),
    };
    Artifact {
        project: job.package.name.clone(),
        version: job.package.version.clone(),
        filename: record.filename,
        wheel: record.wheel,
        size: record.size,
        origin,
        because,
        findings: Vec::new(),
        vendored: record.vendored,
        system: record.system,
        modules: record.modules,
        test: recipe.test,
        network: raw.network || raw.requires.built.iter().any(|built| built.network),
        added: None,
        requires: raw.requires.built.clone(),
    }
}
