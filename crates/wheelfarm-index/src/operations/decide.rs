//! From a state and an operation to the events that it takes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::StatusCode;
use wheelfarm_types::{ProjectName, Version};

use super::{Operation, Outcome, Selection, Which, promote};
use crate::registry::{Channel, Event, File, Project, ProjectStatus, State, Yank};
use crate::{Problem, Settings};

/// What is decided: events, and what to tell who asked for them.
pub(super) type Decision = Result<(Vec<Event>, Outcome), Problem>;

/// Characters of a reason. It stands on pages that every installer fetches.
const REASON_LIMIT: usize = 1000;

pub(super) fn decide(
    state: &State,
    settings: &Settings,
    now: DateTime<Utc>,
    operation: &Operation,
) -> Decision {
    match operation {
        Operation::Promote { from, to, what } => {
            promote::decide(state, settings, now, (from, to), what)
        }
        Operation::Yank {
            channel,
            what,
            reason,
        } => {
            let reason = reason.as_deref().map(str::trim).filter(|it| !it.is_empty());
            check_reason(reason)?;
            let yank = Yank {
                reason: reason.map(str::to_owned),
            };
            change_yank(state, channel, what, Some(&yank))
        }
        Operation::Unyank { channel, what } => change_yank(state, channel, what, None),
        Operation::Delete { channel, what } => delete(state, channel, what),
        Operation::SetStatus {
            channel,
            project,
            status,
        } => set_status(state, channel, project, status),
    }
}

fn change_yank(
    state: &State,
    channel: &Channel,
    what: &Selection,
    yank: Option<&Yank>,
) -> Decision {
    let mut events = Vec::new();
    let mut outcome = Outcome::default();
    for file in selected(state, channel, what)? {
        let filename = file.published.filename.clone();
        if file.yanked.as_ref() == yank {
            outcome.unchanged.push(filename);
            continue;
        }
        outcome.changed.push(filename.clone());
        events.push(Event::Yanked {
            channel: channel.clone(),
            project: what.project.clone(),
            filename,
            yank: yank.cloned(),
        });
    }
    Ok((events, outcome))
}

fn delete(state: &State, channel: &Channel, what: &Selection) -> Decision {
    let gone = match &what.which {
        // Deleting it again is no error: the first answer may have been lost.
        Which::File(filename) => {
            let project = found(state, channel, &what.project)?;
            project.deleted.contains_key(filename) && !project.files.contains_key(filename)
        }
        Which::Version(_) => false,
    };
    let mut outcome = Outcome::default();
    if let (true, Which::File(filename)) = (gone, &what.which) {
        outcome.unchanged.push(filename.clone());
        return Ok((Vec::new(), outcome));
    }
    let files = selected(state, channel, what)?;
    outcome.changed = files
        .iter()
        .map(|file| file.published.filename.clone())
        .collect();
    let events = outcome.changed.iter().map(|filename| Event::Deleted {
        channel: channel.clone(),
        project: what.project.clone(),
        filename: filename.clone(),
    });
    Ok((events.collect(), outcome))
}

fn set_status(
    state: &State,
    channel: &Channel,
    name: &ProjectName,
    status: &ProjectStatus,
) -> Decision {
    check_reason(status.reason.as_deref())?;
    let project = found(state, channel, name)?;
    let mut outcome = Outcome::default();
    if project.status == *status {
        outcome.unchanged.push(name.to_string());
        return Ok((Vec::new(), outcome));
    }
    outcome.changed.push(name.to_string());
    let event = Event::StatusChanged {
        channel: channel.clone(),
        project: name.clone(),
        status: status.clone(),
    };
    Ok((vec![event], outcome))
}

/// The files that `what` means: at least one.
pub(super) fn selected<'a>(
    state: &'a State,
    channel: &Channel,
    what: &Selection,
) -> Result<Vec<&'a File>, Problem> {
    let project = found(state, channel, &what.project)?;
    let (files, called): (Vec<&File>, _) = match &what.which {
        Which::File(filename) => (
            project.files.get(filename).into_iter().collect(),
            filename.clone(),
        ),
        Which::Version(version) => (
            project
                .files
                .values()
                .filter(|file| file.published.version.parse::<Version>().as_ref() == Ok(version))
                .collect(),
            format!("{} {version}", what.project),
        ),
    };
    if files.is_empty() {
        return Err(Problem::not_found(format!(
            "`{called}` is not in the channel `{channel}`"
        )));
    }
    Ok(files)
}

fn found<'a>(
    state: &'a State,
    channel: &Channel,
    project: &ProjectName,
) -> Result<&'a Arc<Project>, Problem> {
    state
        .project(channel, project)
        .ok_or_else(|| Problem::not_found(format!("`{project}` is not in the channel `{channel}`")))
}

fn check_reason(reason: Option<&str>) -> Result<(), Problem> {
    let Some(reason) = reason else {
        return Ok(());
    };
    let problem = if reason.chars().count() > REASON_LIMIT {
        format!("the reason has more than {REASON_LIMIT} characters")
    } else if reason.chars().any(char::is_control) {
        "the reason has line breaks or other control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(Problem::new(StatusCode::BAD_REQUEST, problem))
}
