//! From a request to a report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use wheelfarm_build::matrix::Cell;
use wheelfarm_build::pipeline::{self, Artifact, Choice, Context, Job, Origin, ProveRequest};
use wheelfarm_build::records::Proof;
use wheelfarm_build::{Event, JobError, JobErrorKind};
use wheelfarm_resolve::Wanted;
use wheelfarm_resolve::sources::Source;
use wheelfarm_types::ProjectName;

use crate::order::{self, Gates};
use crate::plan::{self, CellJobs};

/// What is to be had.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// What is wanted.
    pub wanted: Wanted,
    /// For which Pythons and targets, in which images.
    pub cells: Vec<Arc<Cell>>,
    /// What is built although the index has a wheel.
    pub from_source: FromSource,
    /// What is taken from the index as it is, and never built.
    pub only_upstream: BTreeSet<ProjectName>,
    /// Import every wheel that was built on a bare runtime.
    pub prove: bool,
    /// Build what is built twice, and deliver what came out the same.
    pub check_reproducible: bool,
}

/// What is built although the index has a wheel: of what is wanted, not of what builds it. Whoever distrusts wheels
/// of back ends has to build those without wheels, and so first of all a back end that builds itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromSource {
    /// Everything.
    All,
    /// These.
    Only(BTreeSet<ProjectName>),
}

impl BuildRequest {
    pub(crate) fn choice(&self, project: &ProjectName) -> Choice {
        if self.only_upstream.contains(project) {
            Choice::OnlyUpstream
        } else if self.from_source.includes(project) {
            Choice::FromSource
        } else {
            Choice::Reuse
        }
    }
}

impl FromSource {
    fn includes(&self, project: &ProjectName) -> bool {
        match self {
            Self::All => true,
            Self::Only(projects) => projects.contains(project),
        }
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub struct Report {
    /// Wheels, in the order of cells and projects.
    pub wheels: Vec<BuiltWheel>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// Sources that are on no index.
    pub sources: Vec<Source>,
}

/// A wheel for a cell.
#[derive(Debug, Clone)]
pub struct BuiltWheel {
    /// Where and for what.
    pub cell: Arc<Cell>,
    /// The wheel.
    pub artifact: Artifact,
    /// What importing it on a bare runtime gave, if it was proved.
    pub proof: Option<Proof>,
}

/// A job or cell that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which: as in events.
    pub job: String,
    /// Why.
    pub error: JobError,
}

/// Runs `request`: every cell, every package, as far as failures leave it possible.
///
/// Failures are in the report. Cancellation is a failure of what was not finished.
pub async fn run(context: &Context, request: &BuildRequest) -> Report {
    let mut all = Report {
        sources: request.wanted.all_sources().cloned().collect(),
        ..Report::default()
    };
    let unavailable = prepare_images(context, &request.cells, &mut all).await;
    let cells: Vec<_> = request
        .cells
        .iter()
        .filter(|cell| !unavailable.contains(&cell.image.name))
        .map(Arc::clone)
        .collect();
    let cells = plan::jobs(context, request, &cells).await;
    let jobs = cells.iter().flat_map(|cell| cell.jobs.iter().flatten());
    for job in jobs.clone() {
        (context.observer)(Event::Planned { job: job.id() });
    }
    let jobs: Vec<_> = jobs.collect();
    let mut gates = order::gates(context, &jobs).await.into_iter();
    let running = cells.iter().map(|cell| {
        let count = cell.jobs.as_ref().map_or(0, Vec::len);
        run_cell(context, request, cell, gates.by_ref().take(count).collect())
    });
    for report in join_all(running).await {
        all.wheels.extend(report.wheels);
        all.failures.extend(report.failures);
    }
    all
}

/// The names of images that cannot be had: one failure for each, not one for every job that wants it.
async fn prepare_images(
    context: &Context,
    cells: &[Arc<Cell>],
    report: &mut Report,
) -> BTreeSet<String> {
    let images: BTreeMap<_, _> = cells.iter().map(|cell| (&cell.image.name, cell)).collect();
    let mut unavailable = BTreeSet::new();
    for (name, cell) in images {
        if let Err(error) = unless_cancelled(context, pipeline::prepare_image(context, cell)).await
        {
            let job = format!("image {name}");
            end(context, &job, false, error.to_string());
            report.failures.push(Failure { job, error });
            unavailable.insert(name.clone());
        }
    }
    unavailable
}

async fn run_cell(
    context: &Context,
    request: &BuildRequest,
    planned: &CellJobs,
    gates: Vec<Gates>,
) -> Report {
    let mut report = Report::default();
    let CellJobs { cell, jobs } = planned;
    let jobs = match jobs {
        Ok(jobs) => jobs,
        Err(error) => {
            end(context, &cell.id(), false, error.to_string());
            report.failures.push(Failure {
                job: cell.id(),
                error: error.clone(),
            });
            return report;
        }
    };
    let running = jobs.iter().zip(gates);
    let mut running: FuturesUnordered<_> = running
        .map(|(job, gates)| run_job(context, request, job, gates))
        .collect();
    let mut artifacts = Vec::new();
    while let Some((job, result)) = running.next().await {
        match result {
            Ok(artifact) => {
                end(context, &job, true, artifact.filename.to_string());
                artifacts.push(artifact);
            }
            Err(error) => {
                end(context, &job, false, error.to_string());
                report.failures.push(Failure { job, error });
            }
        }
    }
    artifacts.sort_by(|a, b| a.project.cmp(&b.project));
    report.failures.sort_by(|a, b| a.job.cmp(&b.job));
    let proofs = if request.prove {
        let wanted = ProveRequest {
            cell,
            artifacts: artifacts.iter().collect(),
        };
        match unless_cancelled(context, pipeline::prove(context, &wanted)).await {
            Ok(proofs) => proofs,
            Err(error) => {
                report.failures.push(Failure {
                    job: cell.id(),
                    error,
                });
                return report;
            }
        }
    } else {
        BTreeMap::new()
    };
    for artifact in artifacts {
        let proof = proofs.get(&artifact.project).cloned();
        if let Some(error) = proof.as_ref().and_then(|proof| disproved(&artifact, proof)) {
            let job = format!("{} {} {}", artifact.project, artifact.version, cell.id());
            report.failures.push(Failure { job, error });
        } else {
            report.wheels.push(BuiltWheel {
                cell: Arc::clone(cell),
                artifact,
                proof,
            });
        }
    }
    report
}

async fn run_job(
    context: &Context,
    request: &BuildRequest,
    job: &Job,
    gates: Gates,
) -> (String, Result<Artifact, JobError>) {
    let id = job.id();
    let result = async {
        gates.pass().await;
        if context.cancel.is_cancelled() {
            return Err(JobError::new(
                JobErrorKind::Cancelled,
                "cancelled before it began",
            ));
        }
        let work = async {
            let artifact = pipeline::run(context, job).await?;
            // What serves several Pythons is built again for the one that it was built for.
            let is_of_job = matches!(artifact.origin, Origin::Built | Origin::Cached);
            if request.check_reproducible && is_of_job {
                // Boxed, since few runs ask for it and every job would have room for it.
                Box::pin(pipeline::reproduce(context, job)).await?;
            }
            Ok(artifact)
        };
        unless_cancelled(context, work).await
    };
    let result = result.await;
    // Who waits for this one goes on, whatever came of it.
    drop(gates);
    (id, result)
}

/// Drops `work` when the run is cancelled: what it has started in the engine is removed in the background.
pub(crate) async fn unless_cancelled<T>(
    context: &Context,
    work: impl Future<Output = Result<T, JobError>>,
) -> Result<T, JobError> {
    let done = context.cancel.run_until_cancelled(work).await;
    done.unwrap_or_else(|| Err(JobError::new(JobErrorKind::Cancelled, "cancelled")))
}

fn end(context: &Context, job: &str, ok: bool, summary: String) {
    (context.observer)(Event::Ended {
        job: job.to_owned(),
        ok,
        summary,
    });
}

/// Why `proof` is none.
fn disproved(artifact: &Artifact, proof: &Proof) -> Option<JobError> {
    if proof.failed.is_empty() {
        return None;
    }
    let failed: Vec<_> = proof
        .failed
        .iter()
        .map(|(what, error)| format!("{what}: {error}"))
        .collect();
    let packages: Vec<_> = artifact.runtime_packages().into_iter().collect();
    let with = if packages.is_empty() {
        String::new()
    } else {
        format!(" with {}", packages.join(", "))
    };
    let message = format!(
        "`{}` does not work on a bare runtime{with}: {}",
        artifact.filename,
        failed.join("; ")
    );
    Some(JobError::new(JobErrorKind::Audit, message))
}
