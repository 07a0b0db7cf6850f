//! What came of a build: its wheel, or why there is none.

use bytes::Bytes;
use wheelfarm_types::{Digest, WheelFilename};

use super::Job;
use crate::action::{ActionResult, Exit};
use crate::error::{JobError, JobErrorKind};
use crate::hints;
use crate::recipes::Recipe;

/// How many lines of a failed build's log go into the error.
const TAIL: usize = 30;

/// The output in which the build's script names a patch that does not apply.
const PATCH_FAILED: &str = "patch-failed";

/// The one wheel that a build left, checked against what was to be built; else why it failed.
pub(super) fn wheel_of(job: &Job, result: &ActionResult) -> Result<(WheelFilename, Bytes), String> {
    match result.exit {
        Exit::Code(0) => {}
        Exit::Code(_) if result.outputs.contains_key(PATCH_FAILED) => {
            let name = result
                .outputs
                .get(PATCH_FAILED)
                .map_or(&[][..], |name| name);
            let name = String::from_utf8_lossy(name);
            return Err(format!("the patch `{name}` does not apply"));
        }
        Exit::Code(code) => return Err(format!("its build ended with exit code {code}")),
        Exit::TimedOut => return Err("its build reached the time limit".to_owned()),
        Exit::OutOfMemory => return Err("its build reached the memory limit".to_owned()),
    }
    let mut wheels = result
        .outputs
        .iter()
        .filter_map(|(name, bytes)| Some((name.parse::<WheelFilename>().ok()?, bytes)));
    let (Some((filename, bytes)), None) = (wheels.next(), wheels.next()) else {
        return Err("its build did not leave exactly one wheel".to_owned());
    };
    let same_project = filename
        .project()
        .is_ok_and(|project| project == job.package.name);
    let same_version = filename
        .parsed_version()
        .is_ok_and(|version| version == job.package.version);
    if same_project && same_version {
        Ok((filename, bytes.clone()))
    } else {
        Err(format!(
            "its build made `{filename}`, which is another project or version"
        ))
    }
}

/// The error for a build that failed for `reason`, with a hint if its log says what is missing.
pub(super) fn failed(
    job: &Job,
    recipe: &Recipe,
    reason: &str,
    log: Digest,
    text: &[u8],
) -> JobError {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let manager = job.cell.image.manager;
    let name = &job.package.name;
    let missing = hints::missing(&text, manager);
    let hint = missing.as_ref().map(|missing| match missing.package {
        Some(package) => {
            let mut packages = recipe.packages(manager);
            packages.push(package.to_owned());
            let packages = packages.iter().map(|package| format!("{package:?}")).collect::<Vec<_>>();
            format!(
                "the system package `{package}` has the {} `{}`: in wheelfarm.toml write\n    [package.{name}]\n    system.{} = [{}]",
                missing.kind,
                missing.name,
                manager.as_str(),
                packages.join(", "),
            )
        }
        None => format!(
            "find the system package that has the {} `{}` and add it to `system.{}` under [package.{name}] in wheelfarm.toml",
            missing.kind,
            missing.name,
            manager.as_str(),
        ),
    });
    let message = match missing {
        Some(missing) => format!(
            "{}: {reason}: the {} `{}` is not there",
            job.id(),
            missing.kind,
            missing.name
        ),
        None => format!("{}: {reason}", job.id()),
    };
    JobError {
        kind: JobErrorKind::Package,
        message,
        hint,
        log: Some(log),
        tail: lines
            .iter()
            .skip(lines.len().saturating_sub(TAIL))
            .cloned()
            .collect(),
    }
}
