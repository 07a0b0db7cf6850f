//! Wheels that serve more than the Python they were built for: of the stable ABI, or without any.
//!
//! One that was built from the same source, in the same environment and with the same settings, for a lower Python,
//! is taken for a higher one if an installer would take it there. Its build requirements were those of its own Python:
//! that is what the stable ABI promises not to matter. It is proved on each Python all the same.

use std::sync::Arc;

use serde_json::Value;
use wheelfarm_types::{Digest, PythonVersion, WheelFilename, compatible_tags};

use super::Job;
use super::context::Context;
use super::ingredients::raw_inputs;
use super::raw::{Basis, RawWheel};
use super::requires::BuildRequires;
use crate::error::JobError;
use crate::records::{RawOutcome, RawRecord, SharedRecord, kind};

/// What names all builds that differ in nothing but their Python.
fn key(job: &Job, basis: &Basis<'_>) -> Digest {
    let inputs = raw_inputs(job, basis, &BuildRequires::default());
    let mut value = serde_json::to_value(&inputs).unwrap_or_default();
    if let Value::Object(members) = &mut value {
        for member in ["python", "interpreter", "build_requires"] {
            members.remove(member);
        }
    }
    // Those that the source states follow from the source.
    crate::key::canonical_digest(&(value, &basis.recipe.build_requires))
}

/// The number in the series: the latest entry is that of the lowest Python, which serves the most.
fn number(python: PythonVersion) -> u64 {
    u64::from(u16::MAX) - (u64::from(python.major) << 8) - u64::from(python.minor)
}

/// Whether a wheel of this name may serve other Pythons than the one it was built for.
pub(super) fn is_shared(filename: &WheelFilename) -> bool {
    filename
        .abis
        .iter()
        .any(|abi| matches!(abi.as_str(), "abi3" | "none"))
}

/// Notes that `record` may serve other Pythons, if it may.
pub(super) async fn note(
    context: &Context,
    job: &Job,
    basis: &Basis<'_>,
    raw_key: Digest,
    record: &RawRecord,
) -> Result<(), JobError> {
    if !is_shared(&record.filename) {
        return Ok(());
    }
    let python = job.cell.python;
    let shared = SharedRecord { python, raw_key };
    context
        .store
        .append(kind::SHARED, &key(job, basis), number(python), &shared)
        .await?;
    Ok(())
}

/// A raw wheel that was built for a lower Python and serves `job` as well.
pub(super) async fn find(
    context: &Context,
    job: &Job,
    basis: &Basis<'_>,
) -> Result<Option<RawWheel>, JobError> {
    let python = job.cell.python;
    // The environment is that of the image: others of its Pythons are the only siblings there can be.
    if job.cell.image.pythons.iter().all(|other| *other >= python) {
        return Ok(None);
    }
    let key = key(job, basis);
    let Some((_, shared)) = context
        .store
        .latest::<SharedRecord>(kind::SHARED, &key)
        .await?
    else {
        return Ok(None);
    };
    if shared.python >= python {
        return Ok(None);
    }
    let record = context
        .with_wheel(kind::RAW, &shared.raw_key, |record: &RawOutcome| {
            record.wheel
        })
        .await?;
    let accepted = compatible_tags(python, job.cell.image.target);
    let serves = |record: &RawOutcome| record.filename.tags().any(|tag| accepted.contains(&tag));
    Ok(record.filter(serves).map(|record| RawWheel {
        key: shared.raw_key,
        record,
        network: basis.recipe.network,
        environment: Arc::clone(&basis.environment),
        requires: Arc::default(),
        reused: Some(shared.python),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_python_is_the_latest_entry() {
        let numbers = ["3.14", "3.13", "3.9", "2.7"].map(|text| number(text.parse().unwrap()));
        assert!(numbers.is_sorted(), "{numbers:?}");
    }

    #[test]
    fn tags_tell_what_may_be_shared() {
        for (name, shared) in [
            ("x-1-cp39-abi3-linux_x86_64.whl", true),
            ("x-1-py3-none-any.whl", true),
            ("x-1-py3-none-linux_x86_64.whl", true),
            ("x-1-cp39-cp39-linux_x86_64.whl", false),
        ] {
            assert_eq!(is_shared(&name.parse().unwrap()), shared, "{name}");
        }
    }
}
