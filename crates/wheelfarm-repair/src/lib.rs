//! Plan and apply a wheel repair: graft, patch, retag, SBOM.
//!
//! [`plan()`] decides, from an audit's report, what has to happen for the wheel to carry a platform tag; its
//! [`RepairPlan`] can be kept, shown and compared. [`apply()`] does it, and [`verify()`] audits the result against
//! an empty root: whatever the tag promises must come out of the wheel alone.
//!
//! The bytes of a repaired wheel depend on the plan, the contents of the wheel and the grafted libraries.

mod apply;
mod error;
mod grafting;
mod included;
mod licenses;
mod naming;
mod objects;
mod options;
mod plan;
mod sbom;
mod scripts;
mod tags;
mod verify;

pub use apply::{GraftCache, Make, NoCache, apply};
pub use error::RepairError;
pub use options::RepairOptions;
pub use plan::{Graft, MemberEdit, RepairPlan, plan};
pub use verify::verify;

/// Rises when the same plan gives other bytes: because of the editor, the compressor, the archive. Part of the keys of
/// all that is kept of repairs.
pub const REVISION: u32 = 4;

#[cfg(test)]
mod auditwheel_tests;
#[cfg(test)]
mod option_tests;
#[cfg(test)]
#[path = "../../wheelfarm-audit/src/testing.rs"]
mod testing;
#[cfg(test)]
mod tests;
