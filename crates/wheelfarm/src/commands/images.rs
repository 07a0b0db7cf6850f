//! `wheelfarm images`.

mod keeper;
mod push;
mod pythons;

use futures::StreamExt;
use owo_colors::OwoColorize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageSource};
use wheelfarm_build::{Event, Stage, log_of};
use wheelfarm_executor::ImageRole;
use wheelfarm_resolve::inputs::IndexOptions;

use self::keeper::Keeper;
use crate::cli::{Format, GlobalArgs, ImagesArgs, ImagesCommand};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::index_settings;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::settings::{Places, cancellation, host_arch};
use crate::units::size;

pub(crate) async fn run(
    global: &GlobalArgs,
    args: ImagesArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let places = Places::open(global, &config).await?;
    let (_, network) = index_settings::read(&IndexOptions::default());
    if let ImagesCommand::Push { names } = &args.command {
        return push::run(&places, &config, network, names, printer).await;
    }
    let keeper = Keeper::open(&places, &config, network).await?;
    let mut catalogue = Catalogue::builtin(host_arch()?);
    wheelfarm_build::pythons::add_compiled(&mut catalogue, &places.store).await?;
    let progress = Progress::new(printer);
    let done = match args.command {
        ImagesCommand::List => list(&keeper, &catalogue, global.format, printer).await,
        ImagesCommand::Pull { names } => {
            pull(&keeper, &catalogue, &names, &progress, printer).await
        }
        ImagesCommand::Push { .. } => Ok(()),
        ImagesCommand::Build { names, python } if python.is_empty() => {
            build(&keeper, &catalogue, &names, &progress, printer).await
        }
        ImagesCommand::Build { names, python } => {
            let wanted = pythons::Wanted {
                store: &places.store,
                keeper: &keeper,
                catalogue: &catalogue,
                progress: &progress,
                printer,
            };
            pythons::build(&wanted, &names, &python).await
        }
    };
    progress.finish();
    keeper.close().await;
    done.map(|()| Exit::Ok)
}

async fn list(
    keeper: &Keeper,
    catalogue: &Catalogue,
    format: Format,
    printer: Printer,
) -> Result<(), Failure> {
    let images = keeper.list(catalogue).await?;
    if format == Format::Json {
        let images: Vec<_> = images
            .iter()
            .map(|listed| {
                json!({
                    "name": listed.image.name, "target": listed.image.target, "pythons": listed.image.pythons,
                    "compilable": listed.image.compilable, "emulated": listed.image.emulated,
                    "here": listed.builder.is_some(), "runtime_here": listed.runtime.is_some(),
                    "id": listed.builder.as_ref().map(|facts| &facts.id),
                    "size": listed.builder.as_ref().map(|facts| facts.size),
                    "get": listed.image.command(),
                })
            })
            .collect();
        printer.result(json!({
            "version": 1, "kept_by": keeper.name(), "directory": keeper.directory(), "images": images,
        }));
        return Ok(());
    }
    if let Some(directory) = keeper.directory() {
        printer.note(format_args!(
            "images of the sandbox lie in {}",
            directory.display()
        ));
    }
    for listed in images {
        let image = &listed.image;
        let pythons: Vec<_> = image.pythons.iter().map(ToString::to_string).collect();
        let emulated = if image.emulated { ", emulated" } else { "" };
        let state = match &listed.builder {
            Some(facts) => format!(
                "{} ({}){}{}",
                "here".green(),
                size(facts.size),
                emulated.yellow(),
                more(image).dimmed()
            ),
            None => format!("{}{}", image.command().dimmed(), emulated.yellow()),
        };
        printer.result(format_args!(
            "{:<16} {:<24} {:<36} {state}",
            image.name,
            image.target.to_string(),
            pythons.join(" ")
        ));
    }
    Ok(())
}

/// The Pythons that an image could have as well.
fn more(image: &BuilderImage) -> String {
    let missing = image
        .compilable
        .iter()
        .filter(|python| !image.pythons.contains(python));
    let missing: Vec<_> = missing.map(ToString::to_string).collect();
    if missing.is_empty() {
        return String::new();
    }
    format!("; {} --python adds {}", image.command(), missing.join(" "))
}

fn named<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a BuilderImage, Failure> {
    catalogue.get(name).ok_or_else(|| {
        Failure::usage(format!("there is no builder image called `{name}`"))
            .with_hint(Some("`wheelfarm images list` shows their names".to_owned()))
    })
}

async fn pull(
    keeper: &Keeper,
    catalogue: &Catalogue,
    names: &[String],
    progress: &Progress,
    printer: Printer,
) -> Result<(), Failure> {
    let cancel = cancellation();
    for name in names {
        let image = named(catalogue, name)?;
        let ImageSource::Registry { reference } = &image.source else {
            let message = format!("`{name}` is not in a registry: it is made on this machine");
            return Err(Failure::usage(message).with_hint(Some(format!("`{}`", image.command()))));
        };
        let facts = keeper
            .pull(reference, image.target.arch, log_of(&progress.observer(), &format!("image {name}")), &cancel)
            .await
            .map_err(|error| {
                let unreachable = error.kind == ExecutorErrorKind::RegistryUnavailable;
                let mut failure = Failure::from(error);
                if unreachable {
                    failure.hint = Some("make a builder from Debian packages, without a registry: `wheelfarm images build debian-12`".to_owned());
                }
                failure
            })?;
        printer.result(format_args!("{name} {}", facts.id));
    }
    Ok(())
}

async fn build(
    keeper: &Keeper,
    catalogue: &Catalogue,
    names: &[String],
    progress: &Progress,
    printer: Printer,
) -> Result<(), Failure> {
    let mut wanted = Vec::new();
    for name in names {
        let image = named(catalogue, name)?;
        if matches!(image.source, ImageSource::Registry { .. }) {
            let message = format!("`{name}` comes from a registry and is not made here");
            return Err(Failure::usage(message).with_hint(Some(format!("`{}`", image.command()))));
        }
        wanted.extend([(image, ImageRole::Builder), (image, ImageRole::Runtime)]);
    }
    let cancel = cancellation();
    // Each is one process that seldom uses more than one core.
    let at_a_time = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut made = futures::stream::iter(wanted)
        .map(|(image, role)| make(keeper, catalogue, image, role, progress, &cancel))
        .buffer_unordered(at_a_time);
    while let Some(line) = made.next().await {
        printer.result(line?);
    }
    Ok(())
}

async fn make(
    keeper: &Keeper,
    catalogue: &Catalogue,
    image: &BuilderImage,
    role: ImageRole,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<String, Failure> {
    let name = match role {
        ImageRole::Builder => image.name.clone(),
        ImageRole::Runtime => format!("{}-runtime", image.name),
    };
    let observer = progress.observer();
    let job = format!("image {name}");
    let stage = Stage::Image;
    observer(Event::Stage {
        job: job.clone(),
        stage,
    });
    let start = std::time::Instant::now();
    let log = log_of(&observer, &job);
    let facts = keeper
        .build_debian(image, catalogue.recipe(image), role, log, cancel)
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    observer(Event::Took {
        job: job.clone(),
        stage,
        seconds,
    });
    let summary = format!("in {seconds:.0} s");
    observer(Event::Ended {
        job,
        ok: true,
        summary,
    });
    Ok(format!("{name} {}", facts.id))
}
