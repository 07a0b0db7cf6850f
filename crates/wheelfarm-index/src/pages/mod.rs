//! Pages for people: what is published, what wheels are made of, what was built and what is stale.
//!
//! HTML is made on the server by templates that escape everything; scripts only make it more comfortable. A handler
//! looks at the registry shortly, takes what it shows with it, and renders afterwards.
//!
//! ```text
//!   request ── viewer ──> who, which channel, which address ── handler ──> view ── template ──> respond ──> page
//! ```

mod address;
mod ask;
mod assets;
mod builds;
mod columns;
mod file;
mod graph;
mod home;
mod listing;
mod look;
mod matrix;
mod metadata;
mod paging;
mod picture;
mod project;
mod projects;
mod provenance;
mod records;
mod respond;
mod running;
mod sbom;
mod snippets;
mod stale;
mod text;
mod viewer;

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};

use crate::App;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(home::page))
        .route("/login", get(home::login))
        .route("/projects", get(projects::redirect))
        .route("/projects/", get(projects::page))
        .route("/projects/{project}", get(project::redirect))
        .route("/projects/{project}/", get(project::page).post(ask::start))
        .route("/projects/{project}/{filename}", get(file::page))
        .route("/builds", get(builds::redirect))
        .route("/builds/", get(builds::page))
        .route("/builds/{id}", get(builds::one))
        .route("/stale", get(stale::redirect))
        .route("/stale/", get(stale::page))
        .layer(middleware::from_fn(respond::problems_as_pages))
        .route("/assets/{name}", get(assets::serve))
        .route("/favicon.ico", get(assets::icon))
}

/// What the pages remember between requests.
#[derive(Default)]
pub(crate) struct Desk {
    listings: listing::Listings,
    looks: look::Looks,
    builds: records::Remembered,
    cells: ask::Remembered,
    staleness: stale::Remembered,
}

#[cfg(test)]
mod tests;
