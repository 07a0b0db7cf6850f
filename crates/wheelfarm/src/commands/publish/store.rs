//! `wheelfarm publish` where the store is at hand.

use std::path::{Path, PathBuf};

use serde_json::json;
use wheelfarm_index::registry::{Actor, Channel, Origin, Registry};
use wheelfarm_index::{Problem, Publication, Published, Publisher, Settings};

use super::Tally;
use crate::cli::{Format, GlobalArgs};
use crate::config::Config;
use crate::environment::clock;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings::Places;

/// Publishes files in `channel` of the store's index.
pub(super) async fn run(
    global: &GlobalArgs,
    files: &[PathBuf],
    channel: &Channel,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let registry = Registry::open(Places::open(global, &config).await?.store).await?;
    let settings = config.index.settings();
    let publisher = Publisher::new(settings.limits);
    let mut tally = Tally::default();
    for path in files {
        match publish(&publisher, &registry, &settings, channel, path).await {
            Ok(published) => print(global, channel, &published, printer),
            Err(failure) => {
                printer.failure(&failure);
                tally.failed(&failure);
            }
        }
    }
    Ok(tally.exit())
}

async fn publish(
    publisher: &Publisher,
    registry: &Registry,
    settings: &Settings,
    channel: &Channel,
    path: &Path,
) -> Result<Published, Failure> {
    if !path.is_file() {
        return Err(Failure::usage(format!(
            "{}: there is no such file",
            path.display()
        )));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let publication = Publication {
        channel: channel.clone(),
        filename: name.into_owned(),
        origin: Origin::Uploaded,
        allows_unportable: settings.channel(channel).allows_unportable,
        by: Actor::Operator,
        now: clock(),
    };
    let published = publisher.publish_path(registry, &publication, path).await;
    published.map_err(|problem| failure(path, problem))
}

/// A file that is refused is a finding; that it could not be published for another reason is this machine's.
fn failure(path: &Path, problem: Problem) -> Failure {
    let message = format!("{}: {}", path.display(), problem.title);
    let failure = if problem.status.is_client_error() {
        Failure::finding(message)
    } else {
        Failure::machine(message)
    };
    failure.with_hint(problem.detail)
}

fn print(global: &GlobalArgs, channel: &Channel, published: &Published, printer: Printer) {
    let file = &published.file;
    if global.format == Format::Json {
        printer.result(json!({
            "filename": file.filename, "project": file.project, "version": file.version,
            "channel": channel, "sha256": file.blob.to_string(), "size": file.size,
            "new": published.is_new,
        }));
    } else if published.is_new {
        printer.result(&file.filename);
    } else {
        printer.note(format_args!("{} was published before", file.filename));
    }
}
