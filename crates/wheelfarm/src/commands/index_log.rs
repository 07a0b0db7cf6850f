//! `wheelfarm index log`: the log of the index as an audit log.

use serde_json::{Value, json};
use wheelfarm_index::registry::{Actor, Channel, Event, Registry, Status};
use wheelfarm_types::ProjectName;

use crate::cli::{Format, GlobalArgs};
use crate::commands::table::table;
use crate::exit::Failure;
use crate::printer::Printer;

/// Which events are printed.
pub(super) struct Shown {
    pub(super) project: Option<ProjectName>,
    pub(super) channel: Option<Channel>,
    /// The last entry that is not.
    pub(super) after: u64,
}

/// Prints a line for each event.
pub(super) async fn print(
    global: &GlobalArgs,
    registry: &Registry,
    shown: &Shown,
    printer: Printer,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (number, record) in registry.history(shown.after).await? {
        for event in record.events.iter().filter(|event| shown.has(event)) {
            if global.format == Format::Json {
                printer.result(line(number, &record.at.to_rfc3339(), &record.by, event));
            } else {
                rows.push(vec![
                    number.to_string(),
                    record.at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
                    by(&record.by),
                    happened(event),
                ]);
            }
        }
    }
    for line in table(&rows, &[0]) {
        printer.result(line);
    }
    Ok(())
}

impl Shown {
    fn has(&self, event: &Event) -> bool {
        let place = place(event);
        let project = self
            .project
            .as_ref()
            .is_none_or(|it| place.is_some_and(|(_, project)| project == it));
        let channel = self
            .channel
            .as_ref()
            .is_none_or(|it| place.is_some_and(|(channel, _)| channel == it));
        project && channel
    }
}

fn place(event: &Event) -> Option<(&Channel, &ProjectName)> {
    match event {
        Event::Published { channel, file } => Some((channel, &file.project)),
        Event::Deleted {
            channel, project, ..
        }
        | Event::Yanked {
            channel, project, ..
        }
        | Event::StatusChanged {
            channel, project, ..
        } => Some((channel, project)),
        Event::TokenCreated { .. } | Event::TokenRevoked { .. } => None,
    }
}

/// The event as it is in the log, with when and by whom in it.
fn line(number: u64, at: &str, by: &Actor, event: &Event) -> Value {
    let mut line = json!(event);
    if let Some(members) = line.as_object_mut() {
        members.insert("number".to_owned(), json!(number));
        members.insert("at".to_owned(), json!(at));
        members.insert("by".to_owned(), json!(by));
        // A digest of a secret is nothing for logs that go elsewhere.
        if let Some(token) = members.get_mut("token").and_then(Value::as_object_mut) {
            token.remove("digest");
        }
    }
    line
}

fn by(actor: &Actor) -> String {
    match actor {
        Actor::Operator => "operator".to_owned(),
        Actor::Server => "server".to_owned(),
        Actor::Token { id, request } if request.is_empty() => format!("token {id}"),
        Actor::Token { id, request } => format!("token {id} ({request})"),
    }
}

/// What is said of an event in text.
fn happened(event: &Event) -> String {
    let because = |reason: Option<&String>| reason.map_or(String::new(), |it| format!(": {it}"));
    match event {
        Event::Published { channel, file } => {
            format!("published {} in {channel}", file.filename)
        }
        Event::Deleted {
            channel, filename, ..
        } => format!("deleted {filename} in {channel}"),
        Event::Yanked {
            channel,
            filename,
            yank: Some(yank),
            ..
        } => format!(
            "yanked {filename} in {channel}{}",
            because(yank.reason.as_ref())
        ),
        Event::Yanked {
            channel,
            filename,
            yank: None,
            ..
        } => format!("took back the yank of {filename} in {channel}"),
        Event::StatusChanged {
            channel,
            project,
            status,
        } => {
            let word = match status.status {
                Status::Active => "active",
                Status::Archived => "archived",
                Status::Quarantined => "quarantined",
                Status::Deprecated => "deprecated",
            };
            format!(
                "made {project} {word} in {channel}{}",
                because(status.reason.as_ref())
            )
        }
        Event::TokenCreated { token } => format!("made token {} ({})", token.id, token.name),
        Event::TokenRevoked { id } => format!("revoked token {id}"),
    }
}
