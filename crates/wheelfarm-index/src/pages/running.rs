//! Builds that were asked for: those that wait, run, or ended in this life of the server.

use askama::Template;
use axum::response::Response;
use serde::Serialize;

use super::paging::encoded;
use super::respond;
use super::text::{self, Moment, shortened};
use super::viewer::{Frame, Viewer};
use crate::registry::Scope;
use crate::{App, Build, BuildId, BuildState, Problem};

/// How many builds of the queue are listed.
const LISTED: usize = 50;
/// Most characters of what was asked for, in titles and lists.
const ASKED: usize = 100;

/// A build of the queue in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) asked: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    pub(super) by: String,
    pub(super) jobs: String,
    pub(super) queued: Moment,
}

#[derive(Template)]
#[template(path = "running.html")]
struct Running {
    frame: Frame,
    row: Row,
    is_over: bool,
    channel: String,
    cells: Vec<String>,
    jobs: Vec<Job>,
    published: Vec<(String, String)>,
    failures: Vec<String>,
    hint: Option<String>,
}

struct Job {
    name: String,
    phase: String,
    class: &'static str,
    stage: String,
    time: String,
    summary: String,
    log: String,
}

/// The last builds of the queue that the viewer may see.
pub(super) fn rows(app: &App, viewer: &Viewer) -> Vec<Row> {
    let Some(builds) = &app.builds else {
        return Vec::new();
    };
    let list = builds.list(|request| {
        viewer
            .caller
            .may(app, Scope::Read, &request.channel)
            .is_ok()
    });
    list.iter()
        .take(LISTED)
        .map(|build| row(app, build))
        .collect()
}

fn row(app: &App, build: &Build) -> Row {
    let asked: Vec<&str> = build
        .request
        .requirements
        .iter()
        .map(wheelfarm_types::Requirement::as_str)
        .collect();
    Row {
        id: build.id.to_string(),
        asked: shortened(&asked.join(", "), ASKED),
        state: build.state.as_str(),
        class: match build.state {
            BuildState::Done => "good",
            BuildState::Failed | BuildState::Cancelled => "bad",
            BuildState::Queued | BuildState::Running => "warn",
        },
        by: build.by.clone(),
        jobs: format!("{} of {}", build.jobs_ended, build.jobs_known),
        queued: Moment::new(build.queued, app.now()),
    }
}

/// The page of a build of the queue; none if `id` names no such build that the viewer may see.
pub(super) fn page(app: &App, viewer: &Viewer, id: &str) -> Option<Result<Response, Problem>> {
    let build = app.builds.as_ref()?.get(&BuildId::parse(id)?)?;
    viewer
        .caller
        .may(app, Scope::Read, &build.request.channel)
        .ok()?;
    let jobs = build.jobs.iter().map(|job| {
        let phase = word(&job.phase);
        Job {
            class: match phase.as_str() {
                "done" => "good",
                "failed" => "bad",
                _ => "",
            },
            phase,
            stage: job.stage.as_ref().map(word).unwrap_or_default(),
            time: text::duration(job.seconds),
            summary: job.summary.clone().unwrap_or_default(),
            log: format!("api/builds/{}/logs/{}", build.id, encoded(&job.job)),
            name: job.job.clone(),
        }
    });
    let published = build.published.iter().map(|name| {
        let project = name
            .parse()
            .ok()
            .and_then(|name: wheelfarm_types::WheelFilename| name.project().ok());
        (
            project
                .map(|project| project.to_string())
                .unwrap_or_default(),
            name.clone(),
        )
    });
    Some(respond::page(&Running {
        frame: viewer.frame.clone(),
        row: row(app, &build),
        is_over: build.state.is_final(),
        channel: build.request.channel.to_string(),
        cells: build.request.cells.clone(),
        jobs: jobs.collect(),
        published: published.collect(),
        failures: build.failures.clone(),
        hint: build.hint.clone(),
    }))
}

/// The word by which the API calls it.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
