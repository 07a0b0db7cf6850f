//! From one channel to another: the same bytes, by pointer.

use chrono::{DateTime, Utc};
use http::StatusCode;
use wheelfarm_types::WheelFilename;

use super::decide::{Decision, selected};
use super::{Outcome, Selection};
use crate::registry::{Channel, Event, File, Origin, PublishedFile, State, Status};
use crate::standing::standing;
use crate::{Problem, Settings};

pub(super) fn decide(
    state: &State,
    settings: &Settings,
    now: DateTime<Utc>,
    (from, to): (&Channel, &Channel),
    what: &Selection,
) -> Decision {
    if from == to {
        return Err(Problem::bad_request(format!(
            "`{from}` is both where the files are and where they are to go"
        )));
    }
    let files = selected(state, from, what)?;
    for channel in [from, to] {
        check_status(state, channel, what)?;
    }
    let mut events = Vec::new();
    let mut outcome = Outcome::default();
    for file in files {
        let published = &file.published;
        let there = state.project(to, &published.project);
        let stands = there.map(|it| standing(it, to, &published.filename, &published.blob));
        if stands.transpose()?.flatten().is_some() {
            outcome.unchanged.push(published.filename.clone());
            continue;
        }
        check_file(settings, to, file)?;
        outcome.changed.push(published.filename.clone());
        let file = PublishedFile {
            uploaded: now,
            origin: Origin::Promoted { from: from.clone() },
            ..(**published).clone()
        };
        events.push(Event::Published {
            channel: to.clone(),
            file: Box::new(file),
        });
    }
    Ok((events, outcome))
}

/// Nothing leaves a project that is not safe, and nothing is added to one that is closed.
fn check_status(state: &State, channel: &Channel, what: &Selection) -> Result<(), Problem> {
    let project = &what.project;
    let status = state.project(channel, project).map(|it| it.status.status);
    let word = match status {
        Some(Status::Quarantined) => "quarantined",
        Some(Status::Archived) => "archived",
        _ => return Ok(()),
    };
    Err(Problem::new(
        StatusCode::CONFLICT,
        format!("`{project}` is {word} in the channel `{channel}`"),
    ))
}

fn check_file(settings: &Settings, to: &Channel, file: &File) -> Result<(), Problem> {
    let filename = &file.published.filename;
    if file.yanked.is_some() {
        return Err(
            Problem::new(StatusCode::CONFLICT, format!("{filename} is yanked"))
                .with_detail("Take the yank back first, or promote the other files by name."),
        );
    }
    let tags = filename.parse::<WheelFilename>();
    let local = tags.is_ok_and(|it| it.platforms.iter().any(|tag| tag.starts_with("linux_")));
    if local && !settings.channel(to).allows_unportable {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!("{filename} does not say on which systems it runs, as wheels in `{to}` must"),
        )
        .with_detail("`wheelfarm repair` gives it a name for the systems on which it runs."));
    }
    Ok(())
}
