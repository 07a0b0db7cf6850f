//! Operations over HTTP: `POST /api/promote`, `/api/yank`, `/api/unyank`, `/api/delete` and `/api/status`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wheelfarm_types::{ProjectName, Version};

use super::{Operation, Outcome, Selection, Which, perform};
use crate::auth::Caller;
use crate::registry::{Channel, ProjectStatus, Scope, Status};
use crate::{App, Problem};

/// Bytes of a request: a few names and a reason.
const LONGEST: usize = 64 << 10;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/promote", post(promote))
        .route("/api/yank", post(yank))
        .route("/api/unyank", post(unyank))
        .route("/api/delete", post(delete))
        .route("/api/status", post(set_status))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Promotion {
    from: Channel,
    #[serde(default = "Channel::main")]
    to: Channel,
    project: ProjectName,
    version: Option<Version>,
    file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Yanking {
    #[serde(default = "Channel::main")]
    channel: Channel,
    project: ProjectName,
    version: Option<Version>,
    file: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    #[serde(default = "Channel::main")]
    channel: Channel,
    project: ProjectName,
    version: Option<Version>,
    file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusChange {
    #[serde(default = "Channel::main")]
    channel: Channel,
    project: ProjectName,
    status: Status,
    reason: Option<String>,
}

type Answer = Result<Json<Outcome>, Problem>;

async fn promote(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let Promotion {
        from,
        to,
        project,
        version,
        file,
    } = read(&headers, body).await?;
    caller.may(&app, Scope::Promote, &from)?;
    caller.may(&app, Scope::Promote, &to)?;
    let what = selection(project, version, file)?;
    run(&app, &caller, Operation::Promote { from, to, what }).await
}

async fn yank(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: Yanking = read(&headers, body).await?;
    caller.may(&app, Scope::Write, &asked.channel)?;
    let operation = Operation::Yank {
        channel: asked.channel,
        what: selection(asked.project, asked.version, asked.file)?,
        reason: asked.reason,
    };
    run(&app, &caller, operation).await
}

async fn unyank(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (channel, what) = files(&app, &caller, &headers, body).await?;
    run(&app, &caller, Operation::Unyank { channel, what }).await
}

async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (channel, what) = files(&app, &caller, &headers, body).await?;
    run(&app, &caller, Operation::Delete { channel, what }).await
}

async fn set_status(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: StatusChange = read(&headers, body).await?;
    caller.may(&app, Scope::Write, &asked.channel)?;
    let operation = Operation::SetStatus {
        channel: asked.channel,
        project: asked.project,
        status: ProjectStatus {
            status: asked.status,
            reason: asked.reason,
        },
    };
    run(&app, &caller, operation).await
}

async fn run(app: &App, caller: &Caller, operation: Operation) -> Answer {
    perform(
        &app.registry,
        &app.settings,
        &caller.actor(),
        app.now(),
        &operation,
    )
    .await
    .map(Json)
}

async fn files(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Channel, Selection), Problem> {
    let asked: Files = read(headers, body).await?;
    caller.may(app, Scope::Write, &asked.channel)?;
    let what = selection(asked.project, asked.version, asked.file)?;
    Ok((asked.channel, what))
}

fn selection(
    project: ProjectName,
    version: Option<Version>,
    file: Option<String>,
) -> Result<Selection, Problem> {
    let which = match (version, file) {
        (Some(version), None) => Which::Version(version),
        (None, Some(file)) => Which::File(file),
        _ => {
            return Err(Problem::bad_request(
                "name either a `version` or a `file` of the project",
            ));
        }
    };
    Ok(Selection { project, which })
}

/// The request as it was meant. Only of the type that no form of another site can send: browsers send passwords along
/// with those.
async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the request must be JSON, and say so: `Content-Type: application/json`",
        ));
    }
    let body = axum::body::to_bytes(body, LONGEST).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the request has more than {LONGEST} bytes, or was cut off"),
        )
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the request cannot be read: {error}")))
}
