//! `wheelfarm index`: what operators do to what is published.

use serde_json::json;
use wheelfarm_index::Settings;
use wheelfarm_index::operations::{Operation, perform};
use wheelfarm_index::registry::{Actor, ProjectStatus, Registry};

use crate::cli::index::{IndexArgs, IndexCommand};
use crate::cli::{Format, GlobalArgs};
use crate::commands::index_log;
use crate::config::Config;
use crate::environment::clock;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings::Places;

pub(crate) async fn run(
    global: &GlobalArgs,
    args: IndexArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let registry = Registry::open(Places::open(global, &config).await?.store).await?;
    let operation = match args.command {
        IndexCommand::Promote { what, from, to } => Operation::Promote {
            from,
            to,
            what: what.files,
        },
        IndexCommand::Yank {
            what,
            place,
            reason,
        } => Operation::Yank {
            channel: place.channel,
            what: what.files,
            reason,
        },
        IndexCommand::Unyank { what, place } => Operation::Unyank {
            channel: place.channel,
            what: what.files,
        },
        IndexCommand::Delete { what, place } => Operation::Delete {
            channel: place.channel,
            what: what.files,
        },
        IndexCommand::Status {
            project,
            status,
            place,
            reason,
        } => Operation::SetStatus {
            channel: place.channel,
            project,
            status: ProjectStatus {
                status: status.into(),
                reason,
            },
        },
        IndexCommand::Log {
            project,
            channel,
            after,
        } => {
            let shown = index_log::Shown {
                project,
                channel,
                after,
            };
            index_log::print(global, &registry, &shown, printer).await?;
            return Ok(Exit::Ok);
        }
    };
    change(
        global,
        &registry,
        &config.index.settings(),
        &operation,
        printer,
    )
    .await?;
    Ok(Exit::Ok)
}

async fn change(
    global: &GlobalArgs,
    registry: &Registry,
    settings: &Settings,
    operation: &Operation,
    printer: Printer,
) -> Result<(), Failure> {
    let outcome = perform(registry, settings, &Actor::Operator, clock(), operation)
        .await
        .map_err(|problem| {
            let refused = problem.status.is_client_error();
            let failure = if refused {
                Failure::usage(problem.title)
            } else {
                Failure::machine(problem.title)
            };
            failure.with_hint(problem.detail)
        })?;
    if global.format == Format::Json {
        printer.result(json!(outcome));
        return Ok(());
    }
    for name in &outcome.changed {
        printer.result(name);
    }
    for name in &outcome.unchanged {
        printer.note(format_args!("{name} is so already"));
    }
    Ok(())
}
