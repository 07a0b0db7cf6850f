//! What the store has of what is asked for, and what it lacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use wheelfarm_build::pipeline::{self, Next, Origin};
use wheelfarm_coordinator::{BuiltWheel, CellPlan, Delivered, Failure as JobFailure, Plan};
use wheelfarm_store::Store;

use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// What there is, and what there is not.
pub(crate) struct Found {
    /// Wheels, in the order of cells and projects.
    pub(crate) wheels: Vec<BuiltWheel>,
    /// What is not in the store.
    pub(crate) missing: Vec<Missing>,
    /// What could not be looked for.
    pub(crate) failures: Vec<JobFailure>,
}

/// A wheel that cannot be handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// As in events: project, version, cell.
    pub(crate) job: String,
    /// What a build would do: `fetch`, `build`, `repair`, `prove`.
    pub(crate) needs: &'static str,
    /// Why.
    pub(crate) because: String,
}

impl Found {
    /// What `plan` finds done. What we built has to be `proved` as well: a build does not hand it out before.
    pub(crate) async fn new(store: &Store, plan: Plan, proved: bool) -> Result<Self, Failure> {
        let mut found = Self {
            wheels: Vec::new(),
            missing: Vec::new(),
            failures: Vec::new(),
        };
        for cell in plan.cells {
            found.add(store, cell, proved).await?;
        }
        Ok(found)
    }

    async fn add(&mut self, store: &Store, plan: CellPlan, proved: bool) -> Result<(), Failure> {
        let CellPlan {
            cell,
            jobs,
            unstated,
            failures,
        } = plan;
        self.failures.extend(failures);
        if let Some(unstated) = unstated {
            self.missing.push(Missing {
                job: unstated.job.id(),
                needs: unstated.does(),
                because: "it does not state what it requires: more may be missing".to_owned(),
            });
        }
        let mut wheels = Vec::new();
        for planned in jobs {
            let (job, needs) = (planned.job.id(), planned.does());
            let because = planned.outlook.because;
            match planned.outlook.next {
                Next::Ready(artifact) => wheels.push((job, *artifact)),
                _ => self.missing.push(Missing {
                    job,
                    needs,
                    because,
                }),
            }
        }
        let ours = wheels
            .iter()
            .filter(|(_, wheel)| wheel.origin != Origin::Index);
        let ours: BTreeSet<_> = ours.map(|(_, wheel)| wheel.wheel).collect();
        let known = if proved {
            pipeline::proved(store, cell.python, &ours).await?
        } else {
            ours.clone()
        };
        for (job, artifact) in wheels {
            if ours.contains(&artifact.wheel) && !known.contains(&artifact.wheel) {
                self.missing.push(Missing {
                    job,
                    needs: "prove",
                    because: "it was built, and not imported on a bare runtime".to_owned(),
                });
                continue;
            }
            self.wheels.push(BuiltWheel {
                cell: Arc::clone(&cell),
                artifact,
                proof: None,
            });
        }
        Ok(())
    }

    /// Whether everything is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.failures.is_empty()
    }

    /// The wheels, to be delivered.
    pub(crate) fn delivered(&self) -> Vec<Delivered> {
        self.wheels.iter().map(Delivered::from).collect()
    }

    /// Says what is missing, all of it, and what to do.
    pub(crate) fn complain(&self, printer: Printer) {
        for failure in &self.failures {
            let message = format!("{}: {}", failure.job, failure.error.message);
            printer.error(&message, failure.error.hint.as_deref());
        }
        if self.missing.is_empty() {
            return;
        }
        let lines = self.missing.iter().map(|missing| {
            let Missing {
                job,
                needs,
                because,
            } = missing;
            format!("\n  {job}: to {needs} ({because})")
        });
        let message = format!(
            "{} of {} wheels cannot be had from the store, so nothing was written:{}",
            self.missing.len(),
            self.missing.len() + self.wheels.len(),
            lines.collect::<String>()
        );
        let mut hint = "`wheelfarm build` with the same requirements, `--python`, `--target` and configuration makes \
                        what is missing"
            .to_owned();
        if self.missing.iter().all(|missing| missing.needs == "prove") {
            hint.push_str("; `--no-prove` takes what was built as it is");
        }
        printer.error(&message, Some(&hint));
    }

    /// The exit code: 1 if something is missing.
    pub(crate) fn exit(&self) -> Exit {
        match self.failures.first() {
            _ if !self.missing.is_empty() => Exit::Finding,
            Some(failure) => Exit::of(failure.error.kind),
            None => Exit::Ok,
        }
    }
}
