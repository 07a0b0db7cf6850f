//! What `wheelfarm build` says at the end: one model, and a file for each form of it.

mod deliver;
mod github;
mod junit;
mod markdown;
mod model;
mod notes;
mod text;

pub(crate) use deliver::Delivery;
pub(crate) use model::{BuildReport, Totals, Wheel};
