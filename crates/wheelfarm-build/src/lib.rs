//! The matrix, the job keys, the [`Executor`] trait and the per-job pipeline.

pub mod action;
pub mod catalogue;
pub mod environment;
mod key;

pub use action::{Action, ActionResult, Executor, ExecutorError};
pub use key::canonical_digest;
