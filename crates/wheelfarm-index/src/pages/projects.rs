//! All projects, or those that a search finds.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::{Redirect, Response};

use super::listing::{Listing, words};
use super::paging::{Paging, encoded};
use super::respond;
use super::text::{self, Moment};
use super::viewer::{Frame, Viewer};
use crate::registry::Status;
use crate::{App, Problem};

/// Projects on a page.
const PER_PAGE: usize = 50;

#[derive(Template)]
#[template(path = "projects.html")]
struct Projects {
    frame: Frame,
    found: String,
    paging: Paging,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    summary: String,
    latest: String,
    files: String,
    size: String,
    uploaded: Moment,
    status: &'static str,
}

/// The word for a project's status; nothing for the usual one.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "",
        Status::Archived => "archived",
        Status::Quarantined => "quarantined",
        Status::Deprecated => "deprecated",
    }
}

pub(super) async fn page(State(app): State<Arc<App>>, viewer: Viewer) -> Result<Response, Problem> {
    let words = words(&viewer.query);
    let mut found: Vec<(usize, Arc<Listing>)> = app
        .desk
        .listings
        .of(&app, &viewer.channel)
        .into_iter()
        .filter_map(|listing| Some((listing.rank(&words)?, listing)))
        .collect();
    // By name already; the better ones come first.
    found.sort_by_key(|(rank, _)| *rank);
    let mut query = Vec::new();
    if let Some(channel) = &viewer.frame.channel {
        query.push(format!("channel={channel}"));
    }
    if !viewer.query.is_empty() {
        query.push(format!("q={}", encoded(&viewer.query)));
    }
    let paging = Paging::new(found.len(), PER_PAGE, viewer.page, &query.join("&"));
    let now = app.now();
    let rows = paging
        .of(found)
        .into_iter()
        .map(|(_, listing)| Row {
            name: listing.name.to_string(),
            summary: listing.summary.clone(),
            latest: listing.latest.clone().unwrap_or_default(),
            files: text::number(listing.files),
            size: text::size(listing.size),
            uploaded: Moment::new(listing.uploaded, now),
            status: status(listing.status),
        })
        .collect();
    respond::page(&Projects {
        found: text::count(paging.total, "project", "projects"),
        frame: viewer.frame,
        paging,
        rows,
    })
}

pub(super) async fn redirect(RawQuery(query): RawQuery) -> Redirect {
    respond::to("projects/", query.as_deref())
}
