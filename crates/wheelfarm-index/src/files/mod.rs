//! Published files by digest: whole, in ranges, conditionally.

mod answer;
mod body;
pub(crate) mod conditions;
mod kept;
mod range;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use wheelfarm_types::{Digest, ProjectName, SdistFilename, WheelFilename};

pub(crate) use answer::{Asked, Blob, Outline, answer, outline};
pub(crate) use kept::Kept;

use crate::auth::Caller;
use crate::registry::Scope;
use crate::server::Visit;
use crate::{App, Problem, upstream};

/// What is added to a wheel's address to get its METADATA ([PEP 658](https://peps.python.org/pep-0658/)).
pub(crate) const METADATA: &str = ".metadata";

/// The addresses of this part.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/files/{digest}/{filename}", get(file))
}

/// `/files/<sha256>/<filename>`, and with `.metadata` behind it.
async fn file(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((digest, filename)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = Asked {
        method: &method,
        headers: &headers,
        outbox: caller.outbox(),
    };
    find(&app, &caller, asked, &digest, &filename).await
}

/// Answers a request for a file whose address is spelled as this server spells it; none for all other requests. These
/// are most of all requests, and a router that takes addresses apart in general costs more than to find a file.
pub(crate) async fn direct(app: &App, visit: &Arc<Visit>, parts: &Parts) -> Option<Response> {
    let (digest, filename) = parts.uri.path().strip_prefix("/files/")?.split_once('/')?;
    let plain = !filename.is_empty() && !filename.contains(['%', '/']);
    if !plain || !matches!(parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    let caller = Caller::of(&parts.headers, Some(visit), app).await;
    let asked = Asked {
        method: &parts.method,
        headers: &parts.headers,
        outbox: caller.outbox(),
    };
    let found = find(app, &caller, asked, digest, filename).await;
    Some(found.into_response())
}

async fn find(
    app: &App,
    caller: &Caller,
    asked: Asked<'_>,
    digest: &str,
    filename: &str,
) -> Result<Response, Problem> {
    if let Some(blob) = published(app, caller, digest, filename) {
        return answer(app, asked, &blob).await;
    }
    let mirrored = upstream::file(app, caller, asked, digest, filename).await?;
    mirrored.ok_or_else(|| absent(app, caller))
}

/// What is said of a file that is not there.
///
/// What the caller may not read does not exist for them. But who has shown no token is asked for one, whether there is
/// such a file or not, if any channel needs one: installers try without first, and send it when they are asked.
fn absent(app: &App, caller: &Caller) -> Problem {
    if app.settings.any_is_private() && caller.token.is_none() {
        Problem::new(StatusCode::UNAUTHORIZED, "a token is needed")
    } else {
        Problem::not_found("there is no such file")
    }
}

/// The blob at `/files/<digest>/<filename>`, if a channel that the caller may read has it under that very name.
fn published(app: &App, caller: &Caller, digest: &str, filename: &str) -> Option<Blob> {
    let digest: Digest = digest.parse().ok()?;
    let (filename, metadata) = match filename.strip_suffix(METADATA) {
        Some(filename) => (filename, true),
        None => (filename, false),
    };
    let project = named(filename)?;
    app.registry.read(|state| {
        let mut found = None;
        for channel in state.channels_of(&digest)? {
            let public = !app.settings.channel(channel).private;
            if !public && caller.may(app, Scope::Read, channel).is_err() {
                continue;
            }
            let Some(file) = state.file(channel, &project, filename) else {
                continue;
            };
            let file = &file.published;
            let (digest, size) = match (&file.metadata, metadata) {
                _ if file.blob != digest => continue,
                (_, false) => (file.blob, file.size),
                (Some(metadata), true) => (metadata.blob, metadata.size),
                (None, true) => continue,
            };
            found = Some(Blob {
                digest,
                size,
                public,
            });
            if public {
                break;
            }
        }
        found
    })
}

/// The project of a published file, by its name: what was published has been parsed before, so what stands in front
/// of the version is enough.
fn named(filename: &str) -> Option<ProjectName> {
    let (name, _) = match filename.strip_suffix(".whl") {
        Some(wheel) => wheel.split_once('-')?,
        None => filename.rsplit_once('-')?,
    };
    name.parse().ok()
}

/// The project whose file this is, by the file's name.
pub(crate) fn project_of(filename: &str) -> Option<ProjectName> {
    if let Ok(wheel) = filename.parse::<WheelFilename>() {
        return wheel.project().ok();
    }
    let sdist: SdistFilename = filename.parse().ok()?;
    let (name, _version) = sdist.stem().rsplit_once('-')?;
    name.parse().ok()
}
