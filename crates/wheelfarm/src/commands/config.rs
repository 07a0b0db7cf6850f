//! `wheelfarm config`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wheelfarm_build::recipes::{Override, Recipe};
use wheelfarm_types::ProjectName;

use crate::cli::{ConfigArgs, ConfigCommand, Format, GlobalArgs};
use crate::config::{Config, Farm, Index, Remote, SCHEMA};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// What `config show` prints: the configuration, with whole recipes in place of changes.
#[derive(Serialize)]
struct Shown<'a> {
    farm: &'a Farm,
    package: BTreeMap<ProjectName, Recipe>,
    overrides: &'a [Override],
    index: &'a Index,
    remote: Remote,
}

pub(crate) fn run(
    global: &GlobalArgs,
    args: &ConfigArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    match &args.command {
        ConfigCommand::Schema => printer.result(SCHEMA.trim_end()),
        ConfigCommand::Show { projects } => {
            let config = Config::load(global)?;
            let recipes = config.recipes()?;
            let names: BTreeSet<&ProjectName> = if projects.is_empty() {
                config.package.keys().collect()
            } else {
                projects.iter().collect()
            };
            let shown = Shown {
                farm: &config.farm,
                package: names
                    .into_iter()
                    .map(|name| (name.clone(), recipes.of(name)))
                    .collect(),
                overrides: &config.overrides,
                index: &config.index,
                remote: config.remote.without_secrets(),
            };
            // What is not set is left out of TOML.
            let shown = toml::Value::try_from(&shown).map_err(unprintable)?;
            let text = match global.format {
                Format::Json => serde_json::to_string_pretty(&shown).map_err(unprintable)?,
                Format::Text | Format::GithubMatrix => {
                    toml::to_string_pretty(&shown).map_err(unprintable)?
                }
            };
            printer.result(text.trim_end());
        }
    }
    Ok(Exit::Ok)
}

fn unprintable(error: impl std::fmt::Display) -> Failure {
    Failure::machine(format!("the configuration cannot be printed: {error}"))
}
