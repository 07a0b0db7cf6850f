//! Audit and repair: from the raw wheel to the one that is handed out.

use super::Job;
use super::context::Context;
use crate::environment::EnvironmentRecord;
use crate::error::{JobError, JobErrorKind};
use crate::recipes::Recipe;
use crate::records::{RawRecord, WheelRecord};

pub(super) async fn repaired_wheel(
    _context: &Context,
    _job: &Job,
    _raw: &RawRecord,
    _environment: &EnvironmentRecord,
    _recipe: &Recipe,
) -> Result<(WheelRecord, bool), JobError> {
    Err(JobError::new(JobErrorKind::Machine, "not wired yet"))
}
