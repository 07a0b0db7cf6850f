//! What came of a build: its wheel, or why there is none.

use bytes::Bytes;
use wheelfarm_types::{Digest, ProjectName, Version, WheelFilename};
use wheelfarm_wheel::{Limits as ArchiveLimits, Wheel};

use super::context::Context;
use super::{Job, provides};
use crate::action::{ActionResult, Exit, Limits};
use crate::environment::PackageManager;
use crate::error::{JobError, JobErrorKind, Remedy};
use crate::recipes::Recipe;
use crate::{hints, plain};

/// How many lines of a failed build's log go into the error.
const TAIL: usize = 30;
/// Bytes at the end of a log in which the last complaint is looked for.
const SEARCHED: usize = 64 << 10;

/// The output in which the build's script names a patch that does not apply.
const PATCH_FAILED: &str = "patch-failed";

/// The one wheel that a build within `limits` left, checked against what was to be built; else why it failed.
pub(super) fn wheel_of(
    job: &Job,
    limits: &Limits,
    result: &ActionResult,
) -> Result<(WheelFilename, Bytes), String> {
    match result.exit {
        Exit::Code(0) => {}
        Exit::Code(_) if result.outputs.contains_key(PATCH_FAILED) => {
            let name = result
                .outputs
                .get(PATCH_FAILED)
                .map_or(&[][..], |name| name);
            let name = String::from_utf8_lossy(name);
            return Err(format!("the patch `{}` does not apply", plain(&name)));
        }
        Exit::Code(code) if ran_out_of_space(&result.log) => {
            return Err(format!(
                "its build ended with exit code {code}: it ran out of space (its work directory holds {} MiB)",
                limits.scratch >> 20
            ));
        }
        Exit::Code(code) => return Err(format!("its build ended with exit code {code}")),
        Exit::TimedOut => return Err("its build reached the time limit".to_owned()),
        Exit::OutOfMemory => {
            return Err(format!(
                "its build reached the memory limit of {} MiB",
                limits.memory >> 20
            ));
        }
    }
    let wheels: Vec<_> = result
        .outputs
        .iter()
        .filter_map(|(name, bytes)| Some((name.parse::<WheelFilename>().ok()?, bytes)))
        .collect();
    let [(filename, bytes)] = wheels.as_slice() else {
        let names: Vec<_> = wheels.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(match names.as_slice() {
            [] => "its build left no wheel".to_owned(),
            names => format!(
                "its build left {} wheels instead of one: {}",
                names.len(),
                names.join(", ")
            ),
        });
    };
    let same_project = filename
        .project()
        .is_ok_and(|project| project == job.package.name);
    let same_version = filename
        .parsed_version()
        .is_ok_and(|version| version == job.package.version || !job.version_is_stated());
    if !same_project || !same_version {
        return Err(format!(
            "its build made `{filename}`, which is another project or version"
        ));
    }
    look_inside(job, limits, filename, bytes)
        .map_err(|reason| format!("its build made a wheel that cannot be used: {reason}"))?;
    Ok((filename.clone(), (*bytes).clone()))
}

/// Whether the wheel is no bomb, and is what its name says.
fn look_inside(
    job: &Job,
    limits: &Limits,
    filename: &WheelFilename,
    bytes: &Bytes,
) -> Result<(), String> {
    let most = ArchiveLimits {
        // What it was made of lay in the work directory or in `/tmp`.
        total: limits.scratch.saturating_mul(2),
        ..ArchiveLimits::default()
    };
    let wheel = Wheel::from_bytes_with(bytes.clone(), filename.clone(), most);
    let wheel = wheel.map_err(|error| error.to_string())?;
    let metadata = wheel.metadata_file().map_err(|error| error.to_string())?;
    let (name, version) = (metadata.name(), metadata.version());
    let same = name
        .parse()
        .is_ok_and(|name: ProjectName| name == job.package.name)
        && version.parse().is_ok_and(|version: Version| {
            version == job.package.version || !job.version_is_stated()
        });
    if same {
        return Ok(());
    }
    Err(format!(
        "{filename}: by its METADATA it is {} {}",
        plain(name),
        plain(version)
    ))
}

/// Whether the log ends with that complaint.
fn ran_out_of_space(log: &[u8]) -> bool {
    let end = log.len().saturating_sub(SEARCHED);
    let end = String::from_utf8_lossy(log.get(end..).unwrap_or(log));
    // The second is what tar says if a part could still be written.
    ["No space left on device", ": Wrote only "]
        .iter()
        .any(|sign| end.contains(sign))
}

/// The error for a build that failed for `reason`, with a hint if its log says what is missing.
pub(super) async fn failed(
    context: &Context,
    job: &Job,
    recipe: &Recipe,
    reason: &str,
    log: Digest,
    text: &[u8],
) -> JobError {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.lines().collect();
    let manager = job.cell.image.manager;
    let name = &job.package.name;
    let missing = hints::missing(&text, manager);
    let package = match &missing {
        Some(missing) => match missing.package {
            Some(package) => Some(package.to_owned()),
            None => provides::package(context, job, missing).await,
        },
        None => None,
    };
    let hint = missing.as_ref().map(|missing| match &package {
        Some(package) => {
            let mut packages = recipe.packages(manager);
            packages.push(package.clone());
            format!(
                "the system package `{package}` has the {} `{}`: `--add-missing` adds it, or in wheelfarm.toml write\n{}",
                missing.kind,
                missing.name,
                recipe_lines(name, manager, &packages),
            )
        }
        None => format!(
            "find the system package that has the {} `{}` and add it to `system.{}` under [package.{name}] in wheelfarm.toml",
            missing.kind,
            missing.name,
            manager.as_str(),
        ),
    });
    let hint = hint.or_else(|| limit_hint(name, &text));
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
            .map(|line| plain(line))
            .collect(),
        remedy: package.map(|package| Box::new(Remedy { package })),
    }
}

/// The lines of `wheelfarm.toml` that keep `packages` for `project`.
pub fn recipe_lines(project: &ProjectName, manager: PackageManager, packages: &[String]) -> String {
    let packages: Vec<_> = packages
        .iter()
        .map(|package| format!("{package:?}"))
        .collect();
    format!(
        "    [package.{project}]\n    system.{} = [{}]",
        manager.as_str(),
        packages.join(", ")
    )
}

/// What to try if the build wanted more than a build gets.
fn limit_hint(name: &ProjectName, log: &str) -> Option<String> {
    if ran_out_of_space(log.as_bytes()) {
        return Some(format!(
            "the work directory is in memory, three quarters of it at most: set `memory` under [package.{name}] in wheelfarm.toml"
        ));
    }
    let wanted_network = [
        "Network is unreachable",
        "Temporary failure in name resolution",
        "Could not resolve host",
        "Name or service not known",
    ];
    let wanted_network = wanted_network.iter().any(|sign| log.contains(sign));
    wanted_network.then(|| {
        format!(
            "a build has no network: what it downloads should come as a build requirement or a system package; `network = true` under [package.{name}] in wheelfarm.toml gives it one"
        )
    })
}
