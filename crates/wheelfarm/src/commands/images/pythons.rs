//! `wheelfarm images build NAME --python VERSION`: more Pythons for an image.

use futures::StreamExt;
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageSource, python_prefix};
use wheelfarm_build::pythons::Compiler;
use wheelfarm_build::{Event, Stage, log_of};
use wheelfarm_executor::python_source;
use wheelfarm_store::Store;
use wheelfarm_types::PythonVersion;

use super::keeper::Keeper;
use super::named;
use crate::exit::Failure;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::settings::cancellation;

/// What this works with.
pub(super) struct Wanted<'a> {
    pub(super) store: &'a Store,
    pub(super) keeper: &'a Keeper,
    pub(super) catalogue: &'a Catalogue,
    pub(super) progress: &'a Progress,
    pub(super) printer: Printer,
}

/// Compiles `pythons` for the images `names`; makes those images that are not here.
pub(super) async fn build(
    wanted: &Wanted<'_>,
    names: &[String],
    pythons: &[PythonVersion],
) -> Result<(), Failure> {
    let mut work = Vec::new();
    let mut absent = Vec::new();
    for name in names {
        let image = named(wanted.catalogue, name)?;
        work.extend(missing(image, pythons)?.map(|python| (image, python)));
        let environments = wanted.keeper.environments();
        if environments.image(image).await?.is_none() || environments.runtime(image).await.is_err()
        {
            absent.push(name.clone());
        }
    }
    if !absent.is_empty() {
        let Wanted {
            keeper,
            catalogue,
            progress,
            printer,
            ..
        } = wanted;
        super::build(keeper, catalogue, &absent, progress, *printer).await?;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // The configuration scripts use one core, the compilation all that it gets.
    let at_a_time = cores.min(work.len()).max(1);
    let cancel = cancellation();
    let compilers: Vec<_> = names
        .iter()
        .filter_map(|name| wanted.catalogue.get(name))
        .map(|image| {
            Compiler::new(
                wanted.store,
                wanted.keeper.executor(),
                wanted.keeper.environments(),
                image,
                &wanted.catalogue.recipe(image).python_packages,
                cores.div_ceil(at_a_time),
                wanted.progress.observer(),
                cancel.clone(),
            )
        })
        .collect();
    let jobs = work.into_iter().filter_map(|(image, python)| {
        let compiler = compilers
            .iter()
            .find(|compiler| compiler.image.name == image.name);
        compiler.map(|compiler| one(wanted, compiler, python))
    });
    let mut done = futures::stream::iter(jobs).buffer_unordered(at_a_time);
    let mut failed = None;
    while let Some(line) = done.next().await {
        match line {
            Ok(line) => wanted.printer.result(line),
            // The others go on: each is of use without the rest.
            Err(failure) => {
                if let Some(earlier) = failed.replace(failure) {
                    wanted.printer.failure(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Those of `pythons` that the image does not have of its own.
fn missing(
    image: &BuilderImage,
    pythons: &[PythonVersion],
) -> Result<impl Iterator<Item = PythonVersion>, Failure> {
    if matches!(image.source, ImageSource::Registry { .. }) {
        let message = format!(
            "`{}` comes from a registry, with all its Pythons",
            image.name
        );
        return Err(Failure::usage(message).with_hint(Some(format!("`{}`", image.command()))));
    }
    let mut missing = Vec::new();
    for python in pythons {
        if image.compilable.contains(python) {
            missing.push(*python);
        } else if !image.pythons.contains(python) {
            let can: Vec<_> = image.compilable.iter().map(ToString::to_string).collect();
            let message = format!("Debian has no source of Python {python} for {}", image.name);
            return Err(
                Failure::usage(message).with_hint(Some(format!("it can have {}", can.join(", "))))
            );
        }
    }
    missing.sort();
    missing.dedup();
    Ok(missing.into_iter())
}

async fn one(
    wanted: &Wanted<'_>,
    compiler: &Compiler<'_>,
    python: PythonVersion,
) -> Result<String, Failure> {
    let image = compiler.image;
    let job = format!("Python {python} for {}", image.name);
    let result = compile(wanted, compiler, python, &job).await;
    (compiler.observer)(Event::Ended {
        job,
        ok: result.is_ok(),
        summary: result.as_ref().cloned().unwrap_or_default(),
    });
    result
}

async fn compile(
    wanted: &Wanted<'_>,
    compiler: &Compiler<'_>,
    python: PythonVersion,
    job: &str,
) -> Result<String, Failure> {
    let suites = wanted.catalogue.python_sources.get(&python);
    (compiler.observer)(Event::Stage {
        job: job.to_owned(),
        stage: Stage::Fetch,
    });
    let source = python_source(
        python,
        suites.map(Vec::as_slice).unwrap_or_default(),
        &wanted.catalogue.debian_recipe,
        &log_of(&compiler.observer, job),
        &compiler.cancel,
    )
    .await?;
    let (record, compiled) = compiler.add(job, python, source).await?;
    let how = if compiled {
        format!("compiled in {:.0} s", record.seconds)
    } else {
        "taken from the store".to_owned()
    };
    Ok(format!(
        "{} {} in {}, {how}",
        compiler.image.name,
        record.release,
        python_prefix(python),
    ))
}
