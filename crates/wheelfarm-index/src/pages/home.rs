//! The first page: what this is, what it has, and how to use it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use super::respond;
use super::snippets::{self, Snippet};
use super::text::{self, Moment};
use super::viewer::{Frame, Viewer};
use crate::auth::Caller;
use crate::registry::PublishedFile;
use crate::{App, Problem};

/// How many of the newest files are shown.
const NEWEST: usize = 12;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    projects: String,
    releases: String,
    files: String,
    size: String,
    newest: Vec<Newest>,
    snippets: Vec<Snippet>,
    simple: String,
    private: bool,
    upstream: bool,
}

struct Newest {
    project: String,
    filename: String,
    size: String,
    uploaded: Moment,
}

pub(super) async fn page(State(app): State<Arc<App>>, viewer: Viewer) -> Result<Response, Problem> {
    let listings = app.desk.listings.of(&app, &viewer.channel);
    let mut newest: Vec<&Arc<PublishedFile>> = listings
        .iter()
        .flat_map(|listing| &listing.newest)
        .collect();
    newest.sort_by(|a, b| (b.uploaded, &b.filename).cmp(&(a.uploaded, &a.filename)));
    let example = newest
        .first()
        .map_or("psycopg2", |file| file.project.as_str());
    let now = app.now();
    respond::page(&Home {
        projects: text::number(listings.len()),
        releases: text::number(listings.iter().map(|listing| listing.versions).sum()),
        files: text::number(listings.iter().map(|listing| listing.files).sum()),
        size: text::size(listings.iter().map(|listing| listing.size).sum()),
        snippets: snippets::of_channel(&viewer.address, &viewer.channel, example),
        simple: snippets::simple(&viewer.address, &viewer.channel),
        newest: newest
            .into_iter()
            .take(NEWEST)
            .map(|file| Newest {
                project: file.project.to_string(),
                filename: file.filename.clone(),
                size: text::size(file.size),
                uploaded: Moment::new(file.uploaded, now),
            })
            .collect(),
        private: app.settings.channel(&viewer.channel).private,
        upstream: app.upstream.is_some(),
        frame: viewer.frame,
    })
}

/// Makes a browser ask for a token, which it then sends with every request.
pub(super) async fn login(caller: Caller) -> Response {
    match caller.token {
        Some(_) => Redirect::to("./").into_response(),
        None => Problem::new(StatusCode::UNAUTHORIZED, "a token is needed")
            .with_detail("The user name is __token__ and the password is the token.")
            .into_response(),
    }
}
