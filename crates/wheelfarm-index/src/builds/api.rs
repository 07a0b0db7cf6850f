//! The addresses of builds.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use wheelfarm_types::{ProjectName, WheelFilename, compatible_tags};

use super::build::{Build, BuildId, Ticket};
use super::queue::{Builds, StartError, Started};
use super::request::{BuildRequest, parse_cell};
use super::{BuildFailure, sse};
use crate::auth::Caller;
use crate::registry::{Channel, Scope};
use crate::{App, Problem};

/// Longest request for a build, in bytes.
const LONGEST: usize = 4 << 20;
/// Builds in a list, if the client does not ask for fewer.
const LISTED: usize = 100;
/// Seconds after which a full queue is asked again.
const FULL_RETRY: &str = "30";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/builds", get(list).post(start))
        .route("/api/builds/{id}", get(show).delete(cancel))
        .route("/api/builds/{id}/events", get(events))
        .route("/api/builds/{id}/logs/{job}", get(log))
        .route("/api/builds/{id}/wheels/{filename}", get(wheel))
        .route("/api/projects/{project}/buildable", get(buildable))
}

fn builds(app: &App) -> Result<&Arc<Builds>, Problem> {
    app.builds
        .as_ref()
        .ok_or_else(|| Problem::not_found("this server does not build"))
}

async fn start(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    let builds = builds(&app).map_err(refuse)?;
    // Who may not build anything is told so before the body is read.
    let Some(token) = &caller.token else {
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "a token that allows builds is needed",
        );
        return Err(refuse(problem));
    };
    let body = axum::body::to_bytes(body, LONGEST).await.map_err(|_| {
        let title = format!("a request for a build has at most {LONGEST} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title).into_response()
    })?;
    let request: BuildRequest = serde_json::from_slice(&body).map_err(|error| {
        let title = format!("the request for a build is not understood: {error}");
        Problem::bad_request(title).into_response()
    })?;
    caller
        .may(&app, Scope::Build, &request.channel)
        .map_err(refuse)?;
    match builds.start(&app, request, Some(token)) {
        Ok(Started { build, joined }) => {
            let place = format!("/api/builds/{}", build.id);
            let status = if joined {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            };
            let body = Json(json!({ "joined": joined, "build": build }));
            Ok((status, [(header::LOCATION, place)], body).into_response())
        }
        Err(error) => Err(not_started(&error)),
    }
}

/// What is answered when a build could not be begun.
pub(crate) fn not_started(error: &StartError) -> Response {
    let status = match error {
        StartError::Refused(_) => StatusCode::BAD_REQUEST,
        StartError::Full(_) | StartError::Stopping | StartError::Nameless => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let problem = Problem::new(status, error.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return ([(header::RETRY_AFTER, FULL_RETRY)], problem).into_response();
    }
    problem.into_response()
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    channel: Option<Channel>,
    limit: Option<usize>,
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query<ListQuery>,
) -> Result<Json<serde_json::Value>, Problem> {
    let builds = builds(&app)?;
    let channel = query.channel.as_ref();
    if let Some(channel) = channel {
        caller.may(&app, Scope::Read, channel)?;
    }
    let limit = query.limit.unwrap_or(LISTED).min(LISTED);
    let wanted = |request: &BuildRequest| {
        channel.is_none_or(|channel| *channel == request.channel)
            && caller.may(&app, Scope::Read, &request.channel).is_ok()
    };
    let mut list = builds.list(wanted);
    list.truncate(limit);
    Ok(Json(json!({ "builds": list })))
}

/// The build that `id` names, if the caller may read its channel; else it is as if there were none.
fn ticket(app: &App, caller: &Caller, id: &str) -> Result<Arc<Ticket>, Problem> {
    let unknown = || {
        Problem::not_found("there is no such build")
            .with_detail("a server that was restarted has forgotten its builds; what they made is in the store: ask for it again")
    };
    let id = BuildId::parse(id).ok_or_else(unknown)?;
    let ticket = builds(app)?.ticket(&id).ok_or_else(unknown)?;
    match caller.may(app, Scope::Read, &ticket.request.channel) {
        Ok(()) => Ok(ticket),
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => Err(problem),
        Err(_) => Err(unknown()),
    }
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Build>, Problem> {
    Ok(Json(ticket(&app, &caller, &id)?.view(true)))
}

async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ticket = ticket(&app, &caller, &id)?;
    let stop = builds(&app)?.stop.clone();
    let last = headers.get("last-event-id");
    let last = last.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Ok(sse::stream(ticket, last.unwrap_or(0), stop))
}

async fn log(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, job)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let ticket = ticket(&app, &caller, &id)?;
    let (text, stored) = builds(&app)?
        .log(&ticket.id, &job)
        .await
        .unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    if let Some(digest) = stored {
        let log = app.registry.store().get(&digest).await?;
        return Ok((headers, log).into_response());
    }
    if text.is_empty() {
        let title = format!("build {} has no log of that job (yet)", ticket.id);
        return Err(Problem::not_found(title));
    }
    Ok((headers, text).into_response())
}

/// A wheel of a build, published or not: for who asked for it.
async fn wheel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, filename)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let ticket = ticket(&app, &caller, &id)?;
    let Some(wheel) = ticket.wheel(&filename) else {
        let title = format!("build {} has no such wheel (yet)", ticket.id);
        return Err(Problem::not_found(title));
    };
    let store = app.registry.store();
    let whole = store.whole(&wheel.blob).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, whole.size().to_string()),
        (header::CACHE_CONTROL, "private, no-transform".to_owned()),
    ];
    Ok((headers, Body::from_stream(whole.into_stream())).into_response())
}

#[derive(Debug, Deserialize)]
struct CancelQuery {
    #[serde(default)]
    all: bool,
}

async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    query: Query<CancelQuery>,
) -> Result<Json<Build>, Problem> {
    let ticket = ticket(&app, &caller, &id)?;
    caller.may(&app, Scope::Build, &ticket.request.channel)?;
    let token = caller.token.as_ref().map(|token| &token.id);
    if query.all {
        ticket.cancel.cancel();
    } else if !ticket.given_up_by(token) {
        let problem = Problem::new(StatusCode::CONFLICT, "others asked for this build");
        return Err(problem.with_detail("`?all=true` cancels it for everybody"));
    }
    Ok(Json(ticket.view(true)))
}

#[derive(Debug, Deserialize)]
struct ChannelQuery {
    channel: Option<Channel>,
}

/// What could be built for a project: every cell, and the newest file that serves it already.
async fn buildable(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(project): Path<String>,
    query: Query<ChannelQuery>,
) -> Result<Json<serde_json::Value>, Problem> {
    let project: ProjectName = project
        .parse()
        .map_err(|error| Problem::bad_request(format!("{error}")))?;
    let channel = query.0.channel.unwrap_or_else(Channel::main);
    caller.may(&app, Scope::Read, &channel)?;
    let builds = builds(&app)?;
    let cells = builds.cells().await.map_err(cannot_build)?;
    let files = wheels(&app, &channel, &project);
    let cells: Vec<_> = cells
        .iter()
        .map(|cell| json!({ "cell": cell, "files": serving(cell, &files) }))
        .collect();
    Ok(Json(json!({
        "project": project,
        "channel": channel,
        "on-demand": builds.settings.on_demand.contains_key(&project),
        "cells": cells,
    })))
}

fn cannot_build(failure: BuildFailure) -> Problem {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, failure.message);
    Problem {
        detail: failure.hint,
        ..problem
    }
}

/// The wheels of a project that an installer would choose from.
pub(crate) fn wheels(app: &App, channel: &Channel, project: &ProjectName) -> Vec<WheelFilename> {
    app.registry.read(|state| {
        let files = state
            .project(channel, project)
            .map(|project| &project.files);
        let files = files
            .into_iter()
            .flatten()
            .filter(|(_, file)| file.yanked.is_none());
        files.filter_map(|(name, _)| name.parse().ok()).collect()
    })
}

/// Those of `files` that run in `cell`.
pub(crate) fn serving(cell: &str, files: &[WheelFilename]) -> Vec<String> {
    let Some((python, target)) = parse_cell(cell) else {
        return Vec::new();
    };
    let accepted = compatible_tags(python, target);
    let serves = |file: &&WheelFilename| file.tags().any(|tag| accepted.contains(&tag));
    files
        .iter()
        .filter(serves)
        .map(ToString::to_string)
        .collect()
}
