//! Whether a repaired wheel holds what its name promises.

use wheelfarm_audit::{Finding, LibraryRoot, audit};
use wheelfarm_wheel::Wheel;

use crate::{RepairError, RepairedWheel};

/// Audits a repaired wheel against an empty root: every platform tag of its name must be earned by the wheel
/// alone, with no library from anywhere else, and RECORD must fit.
///
/// This is the same audit that judges foreign wheels; it knows nothing of the repair.
pub fn verify(repaired: &RepairedWheel) -> Result<(), RepairError> {
    let name = || repaired.filename.to_string();
    let wheel = Wheel::from_bytes(repaired.bytes.clone(), repaired.filename.clone())?;
    if !wheel.verify_record()?.is_empty() {
        return Err(RepairError::Record { wheel: name() });
    }
    let report = audit(&wheel, &LibraryRoot::empty(), &repaired.audit)?;
    let unearned = report
        .findings
        .iter()
        .any(|finding| matches!(finding, Finding::UnearnedTag { .. }));
    if repaired.tagged && unearned {
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
