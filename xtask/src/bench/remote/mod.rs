//! `bench remote`: what Remote Execution costs us, beside the engine's own clients and bare ones, on the same servers in
//! one run: buildbox-casd alone, and `BuildGrid` with two workers. `docs/benchmarks.md` says what each figure is.

mod bare;
mod cached;
mod engine;
mod executed;
mod floor;
mod many;
mod measure;
mod trexe;
mod uploads;

use std::sync::Arc;

use wheelfarm_tests::anyhow::{Context, Result, bail};

use engine::{Engine, Ours};

/// What is measured.
#[derive(Debug)]
struct Settings {
    /// Names of parts.
    parts: Vec<String>,
    /// Names of engines.
    engines: Vec<String>,
    /// Small actions on each engine.
    actions: usize,
}

const PARTS: [&str; 4] = ["cached", "executed", "uploads", "many"];
const ENGINES: [&str; 2] = ["casd", "buildgrid"];

/// Runs the benchmark: `[--only PART,...] [--engine NAME] [--actions N]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let settings = settings(arguments)?;
    tokio::runtime::Runtime::new()?.block_on(measure(&settings))
}

async fn measure(settings: &Settings) -> Result<()> {
    let mut engines = Vec::new();
    for name in &settings.engines {
        let engine = if name == "casd" {
            Engine::casd()?
        } else {
            Engine::buildgrid()?
        };
        let ours = Arc::new(Ours::connect(&engine).await?);
        engines.push((engine, ours));
    }
    let wanted = |part: &str| settings.parts.iter().any(|wanted| wanted == part);
    if wanted("cached") {
        cached::head();
        for (engine, ours) in &engines {
            cached::run(engine, ours).await?;
        }
    }
    if wanted("executed") {
        executed::head();
        for (engine, ours) in &engines {
            executed::run(engine, ours).await?;
        }
    }
    if wanted("uploads")
        && let Some((engine, ours)) = engines.first()
    {
        uploads::run(engine, ours).await?;
    }
    if wanted("many") {
        many::head();
        for (engine, ours) in &engines {
            many::run(engine, ours, settings.actions).await?;
        }
    }
    Ok(())
}

fn settings(arguments: &[String]) -> Result<Settings> {
    let mut settings = Settings {
        parts: PARTS.map(str::to_owned).into(),
        engines: ENGINES.map(str::to_owned).into(),
        actions: 200,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest
            .next()
            .with_context(|| format!("`{argument}` wants a value"))?;
        match argument.as_str() {
            "--only" => settings.parts = names(value, &PARTS)?,
            "--engine" => settings.engines = names(value, &ENGINES)?,
            "--actions" => settings.actions = value.parse()?,
            other => {
                bail!("`bench remote` has `--only`, `--engine` and `--actions`, not `{other}`")
            }
        }
    }
    Ok(settings)
}

/// The names in a comma-separated list, each of which is one of `known`.
fn names(list: &str, known: &[&str]) -> Result<Vec<String>> {
    let names: Vec<String> = list.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(other) => bail!("there is no `{other}`, only {}", known.join(", ")),
        None => Ok(names),
    }
}
