//! The matrix, the job keys, the [`Executor`] trait and the per-job pipeline.

pub mod action;
pub mod bytecode;
pub mod catalogue;
pub mod environment;
mod error;
mod event;
mod hints;
pub mod history;
mod key;
pub mod matrix;
pub mod pipeline;
mod plain;
pub mod provenance;
pub mod pythons;
#[cfg(test)]
mod recipe_data_tests;
pub mod recipes;
pub mod records;
pub mod refresh;
pub mod reproducible;

pub use action::{Action, ActionResult, Executor, ExecutorError};
pub use environment::Environments;
pub use error::{JobError, JobErrorKind, Remedy};
pub use event::{Event, Observer, Stage, log_of};
pub use hints::{Missing, missing};
pub use key::canonical_digest;
pub use plain::plain;
