//! The raw wheel: what the build back end makes, before audit and repair.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use serde_json::json;
use wheelfarm_resolve::{BuildSystem, LockedFile};
use wheelfarm_types::{Digest, Requirement, SdistFilename, WheelFilename};

use super::context::Context;
use super::{Job, environment, requires};
use crate::action::{Action, ActionResult, Exit, Limits};
use crate::environment::EnvironmentRecord;
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::hints;
use crate::recipes::Recipe;
use crate::records::{BUILD_SCHEMA, FailureRecord, PinnedFile, RawInputs, RawRecord, kind};

const BUILD_SH: &str = include_str!("../scripts/build.sh");
const BUILD_PY: &str = include_str!("../scripts/build.py");

/// How often a build is begun at most: as planned; with a newer environment; with what the back end asks for.
const ROUNDS: usize = 4;

/// How many lines of a failed build's log go into the error.
const TAIL: usize = 30;

/// The raw wheel of `job`, the environment it was built in, and whether it was built just now.
pub(super) async fn raw_wheel(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
) -> Result<(RawRecord, EnvironmentRecord, bool), JobError> {
    let id = job.id();
    let system = requires::build_system_of(context, job, sdist).await?;
    let mut environment = environment::pinned(context, &id, &job.cell, recipe).await?;
    let mut image = None;
    let env = environment_variables(recipe);
    for _ in 0..ROUNDS {
        let key = requires::dynamic_key(job, sdist.sha256, &environment, recipe, &env);
        let mut wanted = system.requires.clone();
        wanted.extend(recipe.build_requires.iter().cloned());
        wanted.extend(requires::dynamic(context, &key).await?);
        let wheels = requires::lock(context, job, wanted).await?;
        let inputs = raw_inputs(context, job, sdist, recipe, &environment, &wheels, &env);
        let raw_key = crate::key::canonical_digest(&inputs);
        if let Some(record) = context
            .with_wheel(kind::RAW, &raw_key, |record: &RawRecord| record.wheel)
            .await?
        {
            return Ok((record, environment, false));
        }
        let image_id = if let Some(id) = &image {
            String::clone(id)
        } else {
            let (made, record) =
                environment::image(context, &id, &job.cell, environment.clone()).await?;
            image = Some(made.clone());
            if record != environment {
                // What can be installed has changed: other keys, perhaps a hit.
                environment = record;
                continue;
            }
            made
        };
        let _flight = context.flights.enter(raw_key).await;
        if let Some(record) = context
            .with_wheel(kind::RAW, &raw_key, |record: &RawRecord| record.wheel)
            .await?
        {
            return Ok((record, environment, false));
        }
        let fetch = async {
            context.fetcher.fetch(sdist).await?;
            for wheel in &wheels {
                context.fetcher.fetch(wheel).await?;
            }
            Ok(())
        };
        context.staged(&id, Stage::Fetch, fetch).await?;
        let action = action(
            context, job, sdist, recipe, &system, &wheels, image_id, &inputs,
        )
        .await?;
        let run = async {
            Ok(context
                .executor
                .run(&action, context.log_of(&id), &context.cancel)
                .await?)
        };
        let (result, seconds) = context.staged(&id, Stage::Build, run).await?;
        if result.exit == Exit::Code(0)
            && let Some(asked) = result.outputs.get("requires.json")
        {
            requires::file_dynamic(context, &key, asked_requirements(asked)?).await?;
            continue;
        }
        let log = context.store.put(result.log.clone()).await?;
        match wheel_of(job, &result) {
            Ok((filename, bytes)) => {
                let record = RawRecord {
                    inputs,
                    filename,
                    wheel: context.store.put(bytes).await?,
                    log,
                    seconds,
                };
                context
                    .store
                    .create_record(kind::RAW, &raw_key, &record)
                    .await?;
                return Ok((record, environment, true));
            }
            Err(reason) => {
                let failure = FailureRecord {
                    inputs,
                    log,
                    reason: reason.clone(),
                };
                context
                    .store
                    .append(kind::FAILURE, &raw_key, context.freshness.now, &failure)
                    .await?;
                return Err(failed(job, recipe, &reason, log, &result.log));
            }
        }
    }
    Err(JobError::new(
        JobErrorKind::Package,
        format!("{id}: its build back end asks for other build requirements each time"),
    ))
}

/// What is set in a build beside the image's own variables: nothing of the user's machine gets in.
fn environment_variables(recipe: &Recipe) -> BTreeMap<String, String> {
    // Debug information would double the wheel and holds paths; what paths remain are the same everywhere.
    let flags = "-O2 -g0 -ffile-prefix-map=/build=.";
    let fixed = [
        // The first moment that a zip file can hold.
        ("SOURCE_DATE_EPOCH", "315532800"),
        ("PYTHONHASHSEED", "0"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("CFLAGS", flags),
        ("CXXFLAGS", flags),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("HOME", "/tmp"),
    ];
    let mut variables: BTreeMap<_, _> = fixed
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    variables.extend(recipe.env.clone());
    variables
}

fn raw_inputs(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
    environment: &EnvironmentRecord,
    wheels: &[LockedFile<WheelFilename>],
    env: &BTreeMap<String, String>,
) -> RawInputs {
    let mut build_requires: Vec<_> = wheels.iter().map(pinned).collect();
    build_requires.sort();
    RawInputs {
        schema: BUILD_SCHEMA,
        project: job.package.name.clone(),
        version: job.package.version.clone(),
        source: pinned(sdist),
        python: job.cell.python,
        environment: environment.recipe.digest(),
        manifest: environment.manifest_digest(),
        generation: environment.generation,
        build_requires,
        front_end: PinnedFile {
            name: format!("uv {}", context.resolver.uv.version),
            sha256: context.resolver.uv.blob,
        },
        scripts: Digest::of([BUILD_SH, BUILD_PY].concat()),
        env: env.clone(),
        config_settings: recipe.config_settings.clone(),
    }
}

fn pinned<N: std::fmt::Display>(file: &LockedFile<N>) -> PinnedFile {
    PinnedFile {
        name: file.filename.to_string(),
        sha256: file.sha256,
    }
}

#[allow(
    clippy::too_many_arguments,
    reason = "they are the action's ingredients, used once"
)]
async fn action(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
    system: &BuildSystem,
    wheels: &[LockedFile<WheelFilename>],
    image: String,
    raw: &RawInputs,
) -> Result<Action, JobError> {
    let mut requirements = String::new();
    let mut inputs = BTreeMap::new();
    for wheel in wheels {
        let name = &wheel.filename;
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            requirements,
            "{}=={} --hash=sha256:{}",
            name.name, name.version, wheel.sha256
        );
        inputs.insert(format!("wheels/{name}"), wheel.sha256);
    }
    let source = format!("source/{}", sdist.filename);
    inputs.insert(source.clone(), sdist.sha256);
    let description = json!({ "build-system": system, "config-settings": recipe.config_settings });
    let files = [
        ("build.sh", BUILD_SH.to_owned()),
        ("build.py", BUILD_PY.to_owned()),
        ("job.json", description.to_string()),
        // Beside the wheels, so that the directory is there when there are none.
        ("wheels/requirements.txt", requirements),
    ];
    for (name, text) in files {
        inputs.insert(name.to_owned(), context.store.put(text.into()).await?);
    }
    let interpreter = job.cell.image.interpreter(job.cell.python);
    Ok(Action {
        name: format!("build {}", job.id()),
        image,
        inputs,
        tools: [("uv".to_owned(), context.resolver.uv.blob)].into(),
        command: vec![
            "/bin/sh".to_owned(),
            "/in/build.sh".to_owned(),
            interpreter.display().to_string(),
            format!("/in/{source}"),
        ],
        environment: raw.env.clone(),
        network: false,
        limits: Limits {
            cores: recipe.cores.unwrap_or(context.limits.cores),
            memory: recipe.memory.unwrap_or(context.limits.memory),
            ..context.limits.clone()
        },
    })
}

fn asked_requirements(json: &[u8]) -> Result<Vec<Requirement>, JobError> {
    serde_json::from_slice(json).map_err(|error| {
        JobError::new(
            JobErrorKind::Package,
            format!("the build back end asks for build requirements that are none: {error}"),
        )
    })
}

/// The one wheel that a build left, checked against what was to be built; else why it failed.
fn wheel_of(job: &Job, result: &ActionResult) -> Result<(WheelFilename, Bytes), String> {
    match result.exit {
        Exit::Code(0) => {}
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

fn failed(job: &Job, recipe: &Recipe, reason: &str, log: Digest, text: &[u8]) -> JobError {
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
