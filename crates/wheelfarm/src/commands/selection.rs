//! What a command about a set of packages is asked for: arguments and configuration made into requirements, cells
//! and choices.

use std::collections::BTreeSet;
use std::path::Path;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageSource};
use wheelfarm_build::matrix::{self, Cell, Selection};
use wheelfarm_build::pipeline::{Context, seen_image};
use wheelfarm_build::{Environments, JobError, Observer, log_of};
use wheelfarm_coordinator::FromSource;
use wheelfarm_resolve::inputs::{Choice, Inputs, Reader};
use wheelfarm_resolve::sources::Bring;
use wheelfarm_resolve::{ResolveError, Wanted};
use wheelfarm_store::Store;
use wheelfarm_types::ProjectName;

use crate::cli::build::SelectionArgs;
use crate::config::Config;
use crate::environment::variable;
use crate::exit::Failure;
use crate::settings::host_arch;

/// What arguments and files ask for; nothing is opened or started for it.
pub(crate) fn inputs(args: &SelectionArgs, config: &Config) -> Result<Inputs, Failure> {
    let from_config = args.inputs.wishes.is_empty() && args.inputs.requirement_files.is_empty();
    let or = |given: &[ProjectName], configured: &[ProjectName]| {
        if given.is_empty() && from_config {
            configured.to_vec()
        } else {
            given.to_vec()
        }
    };
    let choice = Choice {
        extras: or(&args.inputs.extra, &config.farm.extras),
        all_extras: args.inputs.all_extras,
        groups: or(&args.inputs.group, &config.farm.groups),
    };
    let reader = Reader {
        variables: &variable,
        choice: &choice,
    };
    let failed = |error: ResolveError| Failure::from(JobError::from(error));
    let mut inputs = Inputs::default();
    for wish in &args.inputs.wishes {
        inputs.add(wish.clone());
    }
    let files = if from_config {
        &config.farm.requirements
    } else {
        &args.inputs.requirement_files
    };
    for file in files {
        reader.read(file, &mut inputs).map_err(failed)?;
    }
    let constraint_files = if args.inputs.constraint_files.is_empty() {
        &config.farm.constraints
    } else {
        &args.inputs.constraint_files
    };
    for file in constraint_files {
        reader.read_constraints(file, &mut inputs).map_err(failed)?;
    }
    inputs.hashes.required |= args.inputs.require_hashes;
    if inputs.is_empty() {
        return Err(Failure::usage("there is nothing to build")
            .with_hint(Some("name a package, as in `wheelfarm build psycopg2`, or a file with `-r requirements.txt`".to_owned())));
    }
    if choice != Choice::default() && !inputs.offer_a_choice() {
        return Err(Failure::usage("no file is named that has extras or groups")
            .with_hint(Some("name it, as in `-r pyproject.toml`; an extra of a package is written `NAME[EXTRA]`".to_owned())));
    }
    Ok(inputs)
}

/// Whether all is asked for that the configuration speaks of, not a part that the command line names.
pub(crate) fn is_whole(args: &SelectionArgs) -> bool {
    args.inputs.wishes.is_empty()
        && args.inputs.requirement_files.is_empty()
        && args.python.is_empty()
        && args.target.is_empty()
        && args.image.is_empty()
}

/// What is wanted of every cell, its sources brought to the store. `exclude` are directories that are never part of
/// one.
pub(crate) async fn wanted(
    args: &SelectionArgs,
    inputs: &Inputs,
    context: &Context,
    exclude: &[&Path],
) -> Result<Wanted, Failure> {
    let exclude: Vec<_> = exclude
        .iter()
        .copied()
        .chain(context.store.directory())
        .chain([context.cache.as_path()])
        .filter_map(|path| fs_err::canonicalize(path).ok())
        .collect();
    let bring = Bring {
        store: &context.store,
        fetcher: &context.fetcher,
        resolver: &context.resolver,
        exclude: &exclude,
        not_before: context.freshness.locks_not_before,
        now: context.freshness.now,
    };
    let wanted = bring.inputs(inputs, args.no_deps).await;
    wanted.map_err(|error| JobError::from(error).into())
}

/// What is built although the index has a wheel.
pub(crate) fn from_source(args: &SelectionArgs, config: &[String]) -> Result<FromSource, Failure> {
    let names = if args.from_source.is_empty() {
        config
    } else {
        &args.from_source
    };
    if names.iter().any(|name| name == "all") {
        return Ok(FromSource::All);
    }
    Ok(FromSource::Only(projects("--from-source", names)?))
}

/// What is never built.
pub(crate) fn only_upstream(
    args: &SelectionArgs,
    config: &[String],
) -> Result<BTreeSet<ProjectName>, Failure> {
    let names = if args.only_upstream.is_empty() {
        config
    } else {
        &args.only_upstream
    };
    let projects = projects("--only-upstream", names)?;
    if let FromSource::Only(from_source) = from_source(args, &[])?
        && let Some(both) = projects.intersection(&from_source).next()
    {
        let message = format!(
            "`{both}` is to be built (--from-source) and never to be built (--only-upstream)"
        );
        return Err(Failure::usage(message));
    }
    Ok(projects)
}

fn projects(option: &str, names: &[String]) -> Result<BTreeSet<ProjectName>, Failure> {
    let parse = |name: &String| {
        name.parse()
            .map_err(|error| Failure::usage(format!("{option}: {error}")))
    };
    names.iter().map(parse).collect()
}

/// Whether a builder image may be pulled when there is none.
pub(crate) enum Pull<'a> {
    /// It may: with what that needs.
    Default(&'a CancellationToken, &'a Observer),
    /// It may not: what would be pulled is planned with.
    Never,
}

/// The matrix: with images that are here, or that builds with this store have seen, or else the catalogue's default.
pub(crate) async fn cells(
    args: &SelectionArgs,
    config: &Config,
    store: &Store,
    docker: &dyn Environments,
    pull: Pull<'_>,
) -> Result<Vec<Cell>, Failure> {
    let mut catalogue = Catalogue::builtin(host_arch()?);
    wheelfarm_build::pythons::add_compiled(&mut catalogue, store).await?;
    let here = join_all(catalogue.images().iter().map(|image| docker.image(image))).await;
    let mut available = Vec::new();
    for (image, here) in catalogue.images().iter().zip(here) {
        if here?.is_some() {
            available.push(image.clone());
        }
    }
    let or = |given: &[_], configured: &[_]| {
        if given.is_empty() {
            configured.to_vec()
        } else {
            given.to_vec()
        }
    };
    let selection = Selection {
        images: if args.image.is_empty() {
            config.farm.images.clone()
        } else {
            args.image.clone()
        },
        pythons: or(&args.python, &config.farm.python),
        targets: if args.target.is_empty() {
            config.farm.targets.clone()
        } else {
            args.target.clone()
        },
    };
    let error = match matrix::select(&catalogue, &available, &selection) {
        Ok(cells) if !cells.is_empty() => return Ok(cells),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    // A machine that has no such image, but a store that has what was built in it, needs none.
    let seen = join_all(
        catalogue
            .images()
            .iter()
            .map(|image| seen_image(store, image)),
    );
    let mut known = Vec::new();
    for (image, seen) in catalogue.images().iter().zip(seen.await) {
        if seen? || available.contains(image) {
            known.push(image.clone());
        }
    }
    // One that is emulated is no answer to who asked for nothing, nor is one without a Python.
    let nothing = if selection.targets.is_empty() {
        let no_answer = |image: &BuilderImage| image.emulated || image.pythons.is_empty();
        known.iter().all(no_answer)
    } else {
        known.is_empty()
    };
    if nothing && selection.images.is_empty() {
        known.push(default_image(&catalogue, docker, pull).await?);
    }
    matrix::select(&catalogue, &known, &selection).map_err(|with_seen| {
        let error = error.unwrap_or(with_seen);
        let hint = error.hint();
        Failure::usage(error.to_string()).with_hint(hint)
    })
}

/// The catalogue's default, pulled if that may be.
async fn default_image(
    catalogue: &Catalogue,
    docker: &dyn Environments,
    pull: Pull<'_>,
) -> Result<BuilderImage, Failure> {
    match pull {
        Pull::Default(cancel, observer) => pull_default(catalogue, docker, cancel, observer).await,
        Pull::Never => {
            let image = catalogue.images().iter().find(|image| image.default);
            image.cloned().ok_or_else(no_image)
        }
    }
}

fn no_image() -> Failure {
    Failure::machine("there is no builder image here, and none is published for this architecture")
}

/// The images of `cells` that this machine emulates.
pub(crate) fn emulated(cells: &[Cell]) -> BTreeSet<&str> {
    let images = cells.iter().map(|cell| &cell.image);
    let emulated = images.filter(|image| image.emulated);
    emulated.map(|image| image.name.as_str()).collect()
}

async fn pull_default(
    catalogue: &Catalogue,
    docker: &dyn Environments,
    cancel: &CancellationToken,
    observer: &Observer,
) -> Result<BuilderImage, Failure> {
    let Some(image) = catalogue.images().iter().find(|image| image.default) else {
        return Err(no_image());
    };
    let log = log_of(observer, &format!("image {}", image.name));
    match docker.ensure_image(image, log, cancel).await {
        Ok(_) => Ok(image.clone()),
        Err(error) if error.kind == ExecutorErrorKind::RegistryUnavailable => {
            let made = catalogue
                .images()
                .iter()
                .filter(|image| matches!(image.source, ImageSource::Debian { .. }))
                .find(|image| image.name == "debian-12");
            let message = format!(
                "there is no builder image on this machine, and pulling one failed: {}",
                error.message
            );
            Err(Failure::machine(message).with_hint(made.map(|image| {
                format!(
                    "make one from Debian packages, without a registry: `{}`",
                    image.command()
                )
            })))
        }
        Err(error) => Err(error.into()),
    }
}
