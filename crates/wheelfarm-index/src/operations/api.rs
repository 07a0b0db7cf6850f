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
        .route("/api/promote", post(handle::<Promotion>))
        .route("/api/yank", post(handle::<Yanking>))
        .route("/api/unyank", post(handle::<Unyanking>))
        .route("/api/delete", post(handle::<Deletion>))
        .route("/api/status", post(handle::<StatusChange>))
}

/// A body of a request for an operation.
trait Asked: DeserializeOwned {
    /// What the caller must be allowed to do, and where.
    fn needs(&self) -> Vec<(Scope, &Channel)>;

    /// The operation.
    fn operation(self) -> Result<Operation, Problem>;
}

async fn handle<T: Asked>(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Outcome>, Problem> {
    let asked: T = read(&headers, body).await?;
    for (scope, channel) in asked.needs() {
        caller.may(&app, scope, channel)?;
    }
    let operation = asked.operation()?;
    let actor = caller.actor();
    let outcome = perform(&app.registry, &app.settings, &actor, app.now(), &operation);
    outcome.await.map(Json)
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

impl Asked for Promotion {
    fn needs(&self) -> Vec<(Scope, &Channel)> {
        vec![(Scope::Promote, &self.from), (Scope::Promote, &self.to)]
    }

    fn operation(self) -> Result<Operation, Problem> {
        Ok(Operation::Promote {
            from: self.from,
            to: self.to,
            what: selection(self.project, self.version, self.file)?,
        })
    }
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

impl Asked for Yanking {
    fn needs(&self) -> Vec<(Scope, &Channel)> {
        vec![(Scope::Write, &self.channel)]
    }

    fn operation(self) -> Result<Operation, Problem> {
        Ok(Operation::Yank {
            channel: self.channel,
            what: selection(self.project, self.version, self.file)?,
            reason: self.reason,
        })
    }
}

/// Files of a channel, for operations that need to know nothing else.
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
struct Unyanking(Files);

impl Asked for Unyanking {
    fn needs(&self) -> Vec<(Scope, &Channel)> {
        vec![(Scope::Write, &self.0.channel)]
    }

    fn operation(self) -> Result<Operation, Problem> {
        let Self(files) = self;
        Ok(Operation::Unyank {
            channel: files.channel,
            what: selection(files.project, files.version, files.file)?,
        })
    }
}

#[derive(Deserialize)]
struct Deletion(Files);

impl Asked for Deletion {
    fn needs(&self) -> Vec<(Scope, &Channel)> {
        vec![(Scope::Write, &self.0.channel)]
    }

    fn operation(self) -> Result<Operation, Problem> {
        let Self(files) = self;
        Ok(Operation::Delete {
            channel: files.channel,
            what: selection(files.project, files.version, files.file)?,
        })
    }
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

impl Asked for StatusChange {
    fn needs(&self) -> Vec<(Scope, &Channel)> {
        vec![(Scope::Write, &self.channel)]
    }

    fn operation(self) -> Result<Operation, Problem> {
        Ok(Operation::SetStatus {
            channel: self.channel,
            project: self.project,
            status: ProjectStatus {
                status: self.status,
                reason: self.reason,
            },
        })
    }
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
