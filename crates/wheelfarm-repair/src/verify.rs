//! Whether a repaired wheel holds what its name promises.

use std::collections::BTreeSet;

use wheelfarm_audit::{Finding, LibraryRoot, Objects, SeenObjects, audit_objects};
use wheelfarm_wheel::Wheel;

use crate::{RepairError, RepairPlan};

/// Audits a repaired wheel against an empty root: every platform tag of its name must be earned by the wheel
/// alone, with no library from anywhere else, and RECORD must fit.
///
/// `wheel` was written by [`crate::apply()`] and opened again; `source` are the objects of the wheel that it was
/// made of, and `changed` what `apply` gave. What was copied from there byte for byte is not unpacked again, and what
/// other wheels had too is unpacked for the first of them that hands in the same `seen`.
/// This is the same audit that judges foreign wheels; it knows nothing of the repair.
pub fn verify(
    plan: &RepairPlan,
    wheel: &Wheel,
    source: &Objects,
    changed: &BTreeSet<String>,
    seen: Option<&SeenObjects>,
) -> Result<(), RepairError> {
    let name = || wheel.filename().to_string();
    // A link was replaced by what it led to.
    let unchanged = |member: &str| !changed.contains(member) && source.digest(member).is_some();
    let objects = source.read_changed(wheel, unchanged, seen)?;
    let findings = wheel.compare_record(|member| objects.digest(member))?;
    if !findings.is_empty() {
        return Err(RepairError::Record { wheel: name() });
    }
    let report = audit_objects(wheel, &objects, &LibraryRoot::empty(), &plan.audit)?;
    let unearned = report
        .findings
        .iter()
        .any(|finding| matches!(finding, Finding::UnearnedTag { .. }));
    if plan.update_tags && unearned {
        let findings = report
            .findings
            .into_iter()
            .filter(|finding| {
                matches!(
                    finding,
                    Finding::UnearnedTag { .. }
                        | Finding::MissingLibrary { .. }
                        | Finding::Unreadable { .. }
                )
            })
            .collect();
        return Err(RepairError::Unverified {
            wheel: name(),
            findings,
        });
    }
    Ok(())
}
