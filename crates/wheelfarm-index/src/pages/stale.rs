//! Wheels that hold libraries of which their environments have other versions by now.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::{Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use wheelfarm_build::refresh::{Compared, StaleLibrary, Stock};
use wheelfarm_types::Digest;

use super::paging::Paging;
use super::respond;
use super::text;
use super::viewer::{Frame, Viewer};
use crate::registry::Project;
use crate::{App, Problem};

/// For how long the answer is taken from memory: it is made from all records of wheels.
const FRESH: TimeDelta = TimeDelta::seconds(60);
/// Wheels on a page.
const PER_PAGE: usize = 50;

/// The last answer, and when it was made.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    stock: Stock,
    last: Option<(DateTime<Utc>, Arc<Staleness>)>,
}

/// Wheels whose libraries were compared with what their environments have now, by digest.
pub(super) type Staleness = BTreeMap<Digest, Compared>;

/// What the store knows of stale wheels, at most a minute old. Who comes while it is made waits for it.
pub(super) async fn remembered(app: &App) -> Result<Arc<Staleness>, Problem> {
    let now = app.now();
    let mut known = app.desk.staleness.0.lock().await;
    if let Some((at, staleness)) = &known.last
        && now - *at < FRESH
    {
        return Ok(Arc::clone(staleness));
    }
    let staleness = Arc::new(known.stock.compare(app.registry.store()).await?);
    known.last = Some((now, Arc::clone(&staleness)));
    Ok(staleness)
}

#[derive(Template)]
#[template(path = "stale.html")]
struct Stale {
    frame: Frame,
    compared: String,
    found: String,
    paging: Paging,
    wheels: Vec<Wheel>,
}

struct Wheel {
    project: String,
    version: String,
    filename: String,
    environment: String,
    libraries: Vec<StaleLibrary>,
}

pub(super) async fn page(State(app): State<Arc<App>>, viewer: Viewer) -> Result<Response, Problem> {
    let staleness = remembered(&app).await?;
    let projects: Vec<Arc<Project>> = app.registry.read(|state| {
        let channel = state.channel(&viewer.channel);
        channel
            .into_iter()
            .flat_map(|channel| channel.projects.values().cloned())
            .collect()
    });
    let mut compared = 0;
    let mut stale = Vec::new();
    for file in projects.iter().flat_map(|project| project.files.values()) {
        let Some(outdated) = staleness.get(&file.published.blob) else {
            continue;
        };
        compared += 1;
        if !outdated.stale.is_empty() {
            stale.push((Arc::clone(&file.published), outdated));
        }
    }
    let query = viewer
        .frame
        .channel
        .as_ref()
        .map(|channel| format!("channel={channel}"));
    let paging = Paging::new(
        stale.len(),
        PER_PAGE,
        viewer.page,
        query.as_deref().unwrap_or_default(),
    );
    let wheels = paging
        .of(stale)
        .into_iter()
        .map(|(file, outdated)| Wheel {
            project: file.project.to_string(),
            version: file.version.clone(),
            filename: file.filename.clone(),
            environment: outdated.environment.clone(),
            libraries: outdated.stale.clone(),
        })
        .collect();
    respond::page(&Stale {
        compared: text::count(compared, "wheel", "wheels"),
        found: text::count(paging.total, "stale wheel", "stale wheels"),
        frame: viewer.frame,
        paging,
        wheels,
    })
}

pub(super) async fn redirect(RawQuery(query): RawQuery) -> Redirect {
    respond::to("stale/", query.as_deref())
}
