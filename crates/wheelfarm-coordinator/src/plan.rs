//! From a request to jobs, and how far each of them is.
//!
//! [`jobs`] is where every run begins; [`plan`] goes on with [`pipeline::look`], the same that a run of each job goes
//! on with. So a plan is what a run would do next, not a second opinion. What is read: the store, the index (for
//! locks that are too old, and source distributions never seen), what images this machine has. Nothing is built and no
//! environment is made.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use wheelfarm_build::matrix::Cell;
use wheelfarm_build::pipeline::{self, Attempt, Context, Job, Next, Outlook, Purpose};
use wheelfarm_build::{JobError, history};
use wheelfarm_resolve::Lock;
use wheelfarm_store::StoreError;

use crate::run::{BuildRequest, Failure, unless_cancelled};

/// How many jobs are looked at concurrently: enough to keep a store that answers slowly busy.
const LOOKS: usize = 32;

/// What would happen.
#[derive(Debug, Default)]
pub struct Plan {
    /// Per cell, in the request's order.
    pub cells: Vec<CellPlan>,
}

/// What would happen in one cell.
#[derive(Debug)]
pub struct CellPlan {
    /// Which cell.
    pub cell: Arc<Cell>,
    /// Its jobs, in order of their names.
    pub jobs: Vec<PlannedJob>,
    /// A package that has to be built before the rest is known, since it does not state what it requires.
    pub unstated: Option<PlannedJob>,
    /// What cannot be had.
    pub failures: Vec<Failure>,
}

/// A job, and what comes next for it.
#[derive(Debug)]
pub struct PlannedJob {
    /// The job.
    pub job: Job,
    /// How far it is.
    pub outlook: Outlook,
}

/// What came of resolving a cell.
pub(crate) struct CellJobs {
    pub(crate) cell: Arc<Cell>,
    pub(crate) jobs: Result<Vec<Job>, JobError>,
}

/// The jobs of every cell. Packages that state no metadata are built to learn it.
pub(crate) async fn jobs(
    context: &Context,
    request: &BuildRequest,
    cells: &[Arc<Cell>],
) -> Vec<CellJobs> {
    let resolve = |cell: &Arc<Cell>| {
        let cell = Arc::clone(cell);
        async move {
            let lock = Box::pin(pipeline::resolve(context, &cell, &request.wanted));
            let lock = unless_cancelled(context, lock).await;
            CellJobs {
                jobs: lock.map(|lock| jobs_of(request, &cell, lock)),
                cell,
            }
        }
    };
    join_all(cells.iter().map(resolve)).await
}

fn jobs_of(request: &BuildRequest, cell: &Arc<Cell>, lock: Lock) -> Vec<Job> {
    let job = |package: wheelfarm_resolve::LockedPackage| Job {
        choice: request.choice(&package.name),
        purpose: Purpose::Wanted,
        cell: Arc::clone(cell),
        package,
    };
    lock.packages.into_iter().map(job).collect()
}

/// What [`crate::run()`] would do for `request`.
pub async fn plan(context: &Context, request: &BuildRequest) -> Plan {
    let cells = request
        .cells
        .iter()
        .map(|cell| plan_cell(context, request, cell));
    Plan {
        cells: join_all(cells).await,
    }
}

async fn plan_cell(context: &Context, request: &BuildRequest, cell: &Arc<Cell>) -> CellPlan {
    let mut plan = CellPlan {
        cell: Arc::clone(cell),
        jobs: Vec::new(),
        unstated: None,
        failures: Vec::new(),
    };
    let fail = |job: String, error| Failure { job, error };
    let jobs = match pipeline::try_resolve(context, cell, &request.wanted).await {
        Ok(Attempt::Lock(lock)) => jobs_of(request, cell, lock),
        Ok(Attempt::Unstated(job)) => {
            match pipeline::look(context, &job).await {
                Ok(outlook) => plan.unstated = Some(PlannedJob { job: *job, outlook }),
                Err(error) => plan.failures.push(fail(job.id(), error)),
            }
            return plan;
        }
        Err(error) => {
            plan.failures.push(fail(cell.id(), error));
            return plan;
        }
    };
    let mut looks = futures::stream::iter(jobs)
        .map(|job| async move {
            let outlook = pipeline::look(context, &job).await;
            (job, outlook)
        })
        .buffered(LOOKS);
    while let Some((job, outlook)) = looks.next().await {
        match outlook {
            Ok(outlook) => plan.jobs.push(PlannedJob { job, outlook }),
            Err(error) => plan.failures.push(fail(job.id(), error)),
        }
    }
    plan
}

/// How long the build of `job` took the last time, in seconds; none if it was never built in its cell.
pub async fn estimate(context: &Context, job: &Job) -> Result<Option<f64>, StoreError> {
    let last = history::latest(&context.store, &job.package.name, &job.cell.id()).await?;
    Ok(last.map(|last| last.seconds))
}

impl PlannedJob {
    /// One word: `index`, `cached` or `reused` for what is in the store, `fetch`, `repair` or `build` for what is to
    /// be done.
    pub fn does(&self) -> &'static str {
        match &self.outlook.next {
            Next::Ready(artifact) => artifact.origin.as_str(),
            Next::Fetch(_) => "fetch",
            Next::Repair(_) => "repair",
            Next::Environment | Next::Requires(_) | Next::Build(_) => "build",
        }
    }

    /// Whether its wheel is in the store.
    pub fn is_ready(&self) -> bool {
        matches!(self.outlook.next, Next::Ready(_))
    }

    /// Whether it is built.
    pub fn is_built(&self) -> bool {
        self.does() == "build"
    }
}
