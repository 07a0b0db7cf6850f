//! A plan as values; their serialized form is that of `--format json`.

use serde::Serialize;
use wheelfarm_build::pipeline::{self, Context, Next};
use wheelfarm_build::{JobError, JobErrorKind};
use wheelfarm_coordinator::{CellPlan, Plan, PlannedJob, estimate};
use wheelfarm_types::{Digest, ProjectName, PythonVersion, Target, Version};

use crate::exit::{Exit, Failure};

/// Rises when a member changes its meaning.
const VERSION: u32 = 1;

/// The whole plan.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanReport {
    version: u32,
    pub(crate) cells: Vec<PlannedCell>,
}

/// What would happen in one cell.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlannedCell {
    /// `cp311-manylinux_2_36_x86_64`.
    pub(crate) cell: String,
    pub(crate) python: PythonVersion,
    pub(crate) target: Target,
    pub(crate) image: String,
    pub(crate) jobs: Vec<Planned>,
    /// Whether the jobs are not all: the first states no metadata, and what it requires is known when it is built.
    pub(crate) incomplete: bool,
    pub(crate) failures: Vec<Problem>,
}

/// What would happen to one package.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Planned {
    pub(crate) project: ProjectName,
    pub(crate) version: Version,
    /// `cached`, `reused` or `index`: its wheel is in the store. `fetch`, `repair`, `build`: is to be done.
    pub(crate) does: &'static str,
    pub(crate) because: String,
    /// The wheel, if it is in the store or to be fetched.
    pub(crate) filename: Option<String>,
    /// The key of its build; none while what comes first is not done.
    pub(crate) key: Option<Digest>,
    /// What comes first: `environment`, or build requirements that have no wheels.
    pub(crate) first: Vec<String>,
    /// How long the last build took, in seconds; none if it was never built here.
    pub(crate) estimate: Option<f64>,
    /// What differs from the last build; none if it was not asked for, or is not known.
    pub(crate) explanation: Option<Explained>,
}

/// What differs from the last build of the project in the cell.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Explained {
    /// The version built then.
    pub(crate) version: String,
    /// When, in seconds since 1970.
    pub(crate) built: u64,
    /// `- was` and `+ is`.
    pub(crate) lines: Vec<String>,
}

/// What cannot be had.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    pub(crate) job: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    #[serde(skip)]
    kind: JobErrorKind,
}

impl PlanReport {
    /// `plan` with what past builds say of it.
    pub(crate) async fn new(
        context: &Context,
        plan: &Plan,
        explain: bool,
    ) -> Result<Self, Failure> {
        let mut cells = Vec::new();
        for cell in &plan.cells {
            cells.push(PlannedCell::new(context, cell, explain).await?);
        }
        Ok(Self {
            version: VERSION,
            cells,
        })
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Planned> {
        self.cells.iter().flat_map(|cell| &cell.jobs)
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = &Problem> {
        self.cells.iter().flat_map(|cell| &cell.failures)
    }

    /// The exit code: that of the first failure.
    pub(crate) fn exit(&self) -> Exit {
        self.failures()
            .next()
            .map_or(Exit::Ok, |failure| Exit::of(failure.kind))
    }
}

impl PlannedCell {
    async fn new(context: &Context, plan: &CellPlan, explain: bool) -> Result<Self, Failure> {
        let CellPlan {
            cell,
            jobs,
            unstated,
            failures,
        } = plan;
        let mut planned = Vec::new();
        for job in unstated.iter().chain(jobs) {
            planned.push(Planned::new(context, job, explain).await?);
        }
        Ok(Self {
            cell: cell.id(),
            python: cell.python,
            target: cell.target,
            image: cell.image.name.clone(),
            jobs: planned,
            incomplete: unstated.is_some(),
            failures: failures
                .iter()
                .map(|failure| Problem::new(&failure.job, &failure.error))
                .collect(),
        })
    }

    /// Whether there is anything to do.
    pub(crate) fn is_work(&self) -> bool {
        self.jobs.iter().any(Planned::is_work)
    }
}

impl Planned {
    async fn new(context: &Context, planned: &PlannedJob, explain: bool) -> Result<Self, Failure> {
        let PlannedJob { job, outlook } = planned;
        let mut new = Self {
            project: job.package.name.clone(),
            version: job.package.version.clone(),
            does: planned.does(),
            because: outlook.because.clone(),
            filename: None,
            key: None,
            first: Vec::new(),
            estimate: None,
            explanation: None,
        };
        match &outlook.next {
            Next::Ready(artifact) => {
                new.because.clone_from(&artifact.because);
                new.filename = Some(artifact.filename.to_string());
            }
            Next::Fetch(wheel) => new.filename = Some(wheel.filename.to_string()),
            Next::Repair(raw) => new.filename = Some(raw.record.filename.to_string()),
            Next::Environment => new.first.push("environment".to_owned()),
            Next::Requires(jobs) => {
                let name =
                    |job: &pipeline::Job| format!("{} {}", job.package.name, job.package.version);
                new.first.extend(jobs.iter().map(name));
            }
            Next::Build(prepared) => {
                new.key = Some(prepared.key);
                if explain {
                    let found = pipeline::explain(context, job, &prepared.inputs).await?;
                    new.explanation = found.map(|found| Explained {
                        version: found.version,
                        built: found.last,
                        lines: found
                            .lines
                            .into_iter()
                            .map(|(sign, line)| format!("{sign} {line}"))
                            .collect(),
                    });
                }
            }
        }
        if planned.is_built() {
            new.estimate = estimate(context, job).await?;
        }
        Ok(new)
    }

    /// Whether its wheel is not there yet.
    pub(crate) fn is_work(&self) -> bool {
        matches!(self.does, "fetch" | "repair" | "build")
    }
}

impl Problem {
    fn new(job: &str, error: &JobError) -> Self {
        Self {
            job: job.to_owned(),
            message: error.message.clone(),
            hint: error.hint.clone(),
            kind: error.kind,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> PlanReport {
        let planned = |project: &str, does, estimate| Planned {
            project: project.parse().unwrap(),
            version: "1.0".parse().unwrap(),
            does,
            because: "the index has no wheel that fits".to_owned(),
            filename: None,
            key: None,
            first: Vec::new(),
            estimate,
            explanation: None,
        };
        let cell = |python: &str, jobs: Vec<Planned>| PlannedCell {
            cell: format!("cp{}-manylinux_2_36_x86_64", python.replace('.', "")),
            python: python.parse().unwrap(),
            target: "manylinux_2_36_x86_64".parse().unwrap(),
            image: "debian-12".to_owned(),
            jobs,
            incomplete: false,
            failures: Vec::new(),
        };
        PlanReport {
            version: VERSION,
            cells: vec![
                cell(
                    "3.11",
                    vec![
                        planned("aa", "cached", None),
                        planned("bb", "build", Some(65.0)),
                        planned("cc", "build", None),
                        planned("dd", "fetch", None),
                    ],
                ),
                cell("3.13", vec![planned("aa", "index", None)]),
            ],
        }
    }
}
