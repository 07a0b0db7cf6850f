//! What goes into a build: variables, the inputs that make its key, and the action.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::json;
use wheelfarm_resolve::LockedFile;
use wheelfarm_types::{Digest, SdistFilename};

use super::Job;
use super::context::Context;
use super::raw::{Basis, Prepared};
use super::requires::BuildRequires;
use crate::action::{Action, CompilerCache, Limits};
use crate::error::JobError;
use crate::recipes::{Patch, Recipe};
use crate::records::{BUILD_SCHEMA, PinnedFile, RawInputs};

/// Variables by which build tools are told how many processes to run at a time: those of `CMake`, torch, Cargo
/// and numpy's distutils. Nothing makes setuptools itself build extension modules in parallel: its `build_ext` has races
/// (pypa/setuptools#3119).
const PARALLEL: [&str; 4] = [
    "CMAKE_BUILD_PARALLEL_LEVEL",
    "MAX_JOBS",
    "CARGO_BUILD_JOBS",
    "NPY_NUM_BUILD_JOBS",
];

const BUILD_SH: &str = include_str!("../scripts/build.sh");
const BUILD_PY: &str = include_str!("../scripts/build.py");
static SCRIPTS: LazyLock<Digest> = LazyLock::new(|| Digest::of([BUILD_SH, BUILD_PY].concat()));

/// What is set in a build beside the image's own variables: nothing of the user's machine gets in.
pub(super) fn environment_variables(recipe: &Recipe) -> BTreeMap<String, String> {
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

/// Everything that can change the bytes of the wheel.
pub(super) fn raw_inputs(job: &Job, basis: &Basis<'_>, requires: &BuildRequires) -> RawInputs {
    let Basis {
        sdist,
        recipe,
        environment,
        env,
        front_end,
    } = basis;
    let mut build_requires: Vec<_> = requires
        .files()
        .map(|(name, sha256)| PinnedFile {
            name: name.to_string(),
            sha256,
        })
        .collect();
    build_requires.sort();
    RawInputs {
        schema: BUILD_SCHEMA,
        project: job.package.name.clone(),
        version: job.version_is_stated().then(|| job.package.version.clone()),
        source: PinnedFile {
            name: sdist.filename.to_string(),
            sha256: sdist.sha256,
        },
        subdirectory: job.subdirectory().map(str::to_owned),
        python: job.cell.python,
        interpreter: job.cell.image.tree(job.cell.python),
        environment: environment.recipe_digest,
        manifest: environment.manifest_digest,
        generation: environment.generation,
        build_requires,
        front_end: front_end.clone(),
        scripts: *SCRIPTS,
        env: BTreeMap::clone(env),
        config_settings: recipe.config_settings.clone(),
        patches: recipe.patches.iter().map(Patch::digest).collect(),
        network: recipe.network,
    }
}

/// What tells build tools to run `share` processes at a time. Not part of any key: how many cores there are must not
/// change what is built.
fn parallelism(share: u32) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<_, _> = PARALLEL
        .map(|name| (name.to_owned(), share.to_string()))
        .into();
    variables.insert("MAKEFLAGS".to_owned(), format!("-j{share}"));
    variables
}

/// What a build may use.
pub(super) fn limits(context: &Context, recipe: &Recipe) -> Limits {
    let memory = recipe.memory.unwrap_or(context.limits.memory);
    Limits {
        memory,
        // In memory too: a full directory is an error that says so, too much memory a killed process.
        scratch: context.limits.scratch.min(memory / 4 * 3),
        ..context.limits.clone()
    }
}

/// The build as an executor gets it; it may run `share` processes at a time.
pub(super) async fn action(
    context: &Context,
    job: &Job,
    sdist: &LockedFile<SdistFilename>,
    recipe: &Recipe,
    prepared: &Prepared,
    image: String,
    share: u32,
) -> Result<Action, JobError> {
    let mut environment = parallelism(share);
    environment.extend(prepared.inputs.env.clone());
    let mut requirements = String::new();
    let mut inputs = BTreeMap::new();
    for (name, sha256) in prepared.requires.files() {
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            requirements,
            "{}=={} --hash=sha256:{}",
            name.name, name.version, sha256
        );
        inputs.insert(format!("wheels/{name}"), sha256);
    }
    let source = format!("source/{}", sdist.filename);
    inputs.insert(source.clone(), sdist.sha256);
    let mut patches = Vec::new();
    for (index, patch) in recipe.patches.iter().enumerate() {
        let input = patch.input(index);
        inputs.insert(
            input.clone(),
            context.store.put(patch.content.clone()).await?,
        );
        patches.push(json!({ "name": patch.name, "input": input }));
    }
    let description = json!({
        "subdirectory": job.subdirectory(), "build-system": prepared.system,
        "config-settings": recipe.config_settings, "patches": patches,
    });
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
        tools: [("uv".to_owned(), prepared.inputs.front_end.sha256)].into(),
        trees: job.cell.image.trees(job.cell.python),
        command: vec![
            "/bin/sh".to_owned(),
            "/in/build.sh".to_owned(),
            interpreter.display().to_string(),
            format!("/in/{source}"),
        ],
        environment,
        network: recipe.network,
        keep_failed: context.keep_failed,
        compiler_cache: context.compiler_cache.then(|| CompilerCache {
            name: format!(
                "{}-{}",
                job.cell.image.name,
                prepared.environment.recipe.image_content.short()
            ),
            image: job.cell.image.name.clone(),
            manager: job.cell.image.manager,
        }),
        cores: Some(share),
        limits: limits(context, recipe),
    })
}
