//! Runs the job graph: resolves each cell of the matrix, runs its jobs within limits, proves what was built, and
//! goes on when something fails.
//!
//! The coordinator has no state of its own: every stage asks the store first, so a run after a crash finds what is
//! done and does the rest.

mod atomic;
mod duplicates;
mod image;
mod order;
mod placing;
mod plan;
mod python_tree;
mod run;
mod wheelhouse;

pub use atomic::{AtomicFile, write_atomic};
pub use duplicates::{Carrier, Duplicate, duplicates};
pub use image::{ImageName, ImageNameError, WHEELHOUSE, WheelhouseImage};
pub use placing::{Placing, place_wheelhouse};
pub use plan::{CellPlan, Plan, PlannedJob, estimate, plan};
pub use python_tree::write_python;
pub use run::{BuildRequest, BuiltWheel, Failure, FromSource, Report, run};
pub use wheelhouse::{
    Delivered, WheelhouseError, runtime_packages, write_delivered, write_runtime_packages,
    write_wheelhouse,
};
