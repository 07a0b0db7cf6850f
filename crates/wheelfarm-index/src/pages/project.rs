//! A project: its matrix and its releases.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::{Redirect, Response};
use wheelfarm_types::ProjectName;

use super::ask::{self, Offer};
use super::listing::versions;
use super::matrix::{Cell, Matrix, matrix};
use super::metadata::{self, Facts};
use super::paging::Paging;
use super::snippets::{self, Snippet};
use super::text::{self, Moment};
use super::viewer::{Frame, Viewer, suffix};
use super::{projects, records, respond};
use crate::registry::{Channel, File, Scope};
use crate::{App, Problem};

/// Versions on a page.
const PER_PAGE: usize = 25;
/// Releases that are unfolded.
const OPEN: usize = 2;

#[derive(Template)]
#[template(path = "project.html")]
struct ProjectPage {
    frame: Frame,
    name: String,
    summary: String,
    latest: Option<String>,
    status: &'static str,
    reason: Option<String>,
    requires_python: Option<String>,
    facts: Facts,
    counts: String,
    matrix: Matrix,
    failures: bool,
    releases: Vec<Release>,
    paging: Paging,
    snippets: Vec<Snippet>,
    elsewhere: Vec<Elsewhere>,
    offer: Option<Offer>,
}

struct Release {
    version: String,
    open: bool,
    count: String,
    yanked: bool,
    uploaded: Moment,
    files: Vec<Row>,
}

struct Row {
    filename: String,
    size: String,
    uploaded: Moment,
    requires_python: String,
    yanked: Option<String>,
}

/// Another channel that has the project.
struct Elsewhere {
    name: String,
    suffix: String,
}

/// The project that an address names; one that is spelled in another way is found as well.
pub(super) fn name(text: &str) -> Result<ProjectName, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("there is no such project"))
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path(asked): Path<String>,
    viewer: Viewer,
) -> Result<Response, Problem> {
    let name = name(&asked)?;
    let missing = || {
        Problem::not_found(format!(
            "there is no project `{name}` in the channel `{}`",
            viewer.channel
        ))
    };
    let project = app
        .registry
        .read(|state| state.project(&viewer.channel, &name).cloned())
        .filter(|project| !project.files.is_empty())
        .ok_or_else(missing)?;
    let listing = app.desk.listings.one(&viewer.channel, &name, &project);
    let versions = versions(&project);
    let channel_query = viewer
        .frame
        .channel
        .as_ref()
        .map(|channel| format!("channel={channel}"));
    let paging = Paging::new(
        versions.len(),
        PER_PAGE,
        viewer.page,
        channel_query.as_deref().unwrap_or_default(),
    );
    let shown = paging.of(versions);
    let builds = match records::may_see(&app, &viewer) {
        Ok(()) => records::last_builds(&app, &name).await?,
        Err(_) => Vec::new(),
    };
    let offer = ask::offer(&app, &viewer, &name, &shown).await;
    let matrix = matrix(&shown, project.files.values(), &builds);
    let mut by_version: HashMap<&str, Vec<&File>> = HashMap::new();
    for file in project.files.values() {
        by_version
            .entry(&file.published.version)
            .or_default()
            .push(file);
    }
    let now = app.now();
    let releases = shown
        .iter()
        .enumerate()
        .map(|(index, version)| {
            // By name, as they are in the project.
            let files = by_version
                .get(version.text.as_str())
                .cloned()
                .unwrap_or_default();
            let newest = files
                .iter()
                .map(|file| file.published.uploaded)
                .max()
                .unwrap_or_default();
            Release {
                version: version.text.clone(),
                open: index < OPEN && paging.page == 1,
                count: text::count(files.len(), "file", "files"),
                yanked: files.iter().all(|file| file.yanked.is_some()),
                uploaded: Moment::new(newest, now),
                files: files
                    .into_iter()
                    .map(|file| Row {
                        filename: file.published.filename.clone(),
                        size: text::size(file.published.size),
                        uploaded: Moment::new(file.published.uploaded, now),
                        requires_python: file.published.requires_python.clone().unwrap_or_default(),
                        yanked: file
                            .yanked
                            .as_ref()
                            .map(|yank| yank.reason.clone().unwrap_or_default()),
                    })
                    .collect(),
            }
        })
        .collect();
    let newest = listing.newest.iter().find(|file| file.metadata.is_some());
    let facts = match newest {
        Some(file) => metadata::facts(app.registry.store(), file).await,
        None => Facts::default(),
    };
    let failures = matrix
        .rows
        .iter()
        .flat_map(|row| &row.cells)
        .any(|cell| matches!(cell, Cell::Failed { .. }));
    respond::page(&ProjectPage {
        snippets: snippets::of_project(&viewer.address, &viewer.channel, name.as_str()),
        elsewhere: elsewhere(&app, &viewer, &name),
        offer,
        name: name.to_string(),
        requires_python: listing
            .newest
            .iter()
            .find_map(|file| file.requires_python.clone()),
        counts: format!(
            "{}, {}, {}",
            text::count(listing.versions, "version", "versions"),
            text::count(listing.files, "file", "files"),
            text::size(listing.size)
        ),
        status: projects::status(listing.status),
        reason: project.status.reason.clone(),
        summary: listing.summary.clone(),
        latest: listing.latest.clone(),
        frame: viewer.frame,
        facts,
        matrix,
        failures,
        releases,
        paging,
    })
}

fn elsewhere(app: &App, viewer: &Viewer, name: &ProjectName) -> Vec<Elsewhere> {
    let seen: Vec<Channel> = app.registry.read(|state| {
        let channels = state
            .channels()
            .filter(|(_, state)| state.projects.contains_key(name));
        channels.map(|(channel, _)| channel.clone()).collect()
    });
    seen.into_iter()
        .filter(|channel| {
            *channel != viewer.channel && viewer.caller.may(app, Scope::Read, channel).is_ok()
        })
        .map(|channel| Elsewhere {
            name: channel.to_string(),
            suffix: suffix(&channel),
        })
        .collect()
}

pub(super) async fn redirect(
    Path(asked): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Redirect, Problem> {
    Ok(respond::to(
        &format!("{}/", name(&asked)?),
        query.as_deref(),
    ))
}
