//! What need not be found out again: baselines and what `patchelf` did, by sha256 of the object.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wheelfarm_tests::anyhow::Result;

use super::check::{Baseline, Outcome};
use crate::bench::wheels::directory;

/// Raised when other things are looked at.
const SCHEMA: u32 = 2;

/// What is known of one object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) baseline: Baseline,
    pub(crate) patchelf: Option<Outcome>,
}

/// What earlier runs found out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Knowledge {
    schema: u32,
    pub(crate) objects: BTreeMap<String, Known>,
}

fn path() -> Result<PathBuf> {
    Ok(directory("edit")?.join("known.json"))
}

impl Knowledge {
    /// What was kept, if it is still of use.
    pub(crate) fn load() -> Result<Knowledge> {
        let kept = fs_err::read(path()?).ok();
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Knowledge>(&bytes).ok());
        Ok(kept
            .filter(|kept| kept.schema == SCHEMA)
            .unwrap_or_default())
    }

    /// Keeps it for the next run.
    pub(crate) fn save(&mut self) -> Result<()> {
        self.schema = SCHEMA;
        let part = path()?.with_extension("part");
        fs_err::write(&part, serde_json::to_vec(self)?)?;
        fs_err::rename(part, path()?)?;
        Ok(())
    }
}
