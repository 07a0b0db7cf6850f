//! Files come in: the legacy upload API
//! (as warehouse documents it, and as twine, uv, poetry and pdm send it), and the one way
//! from a file to a published file.

mod checked;
mod claims;
mod filename;
mod form;
mod lanes;
mod portable;
mod publish;
mod spool;
mod wheel;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};

pub use publish::{Publication, Published, Publisher};

use self::claims::Claims;
use self::filename::{Named, has_ending, shown};
use self::form::Form;
use crate::auth::Caller;
use crate::registry::{Channel, Origin, Scope};
use crate::{App, Problem};

/// The header of a successful answer that says what an upload did: `created`, or `same` if the file was there.
pub const UPLOAD_OUTCOME: &str = "wheelfarm-upload";

/// What a form may have beside its file, in bytes.
const BESIDE: u64 = 16 << 20;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/legacy", post(to_main))
        .route("/legacy/", post(to_main))
        .route("/{channel}/legacy", post(to_channel))
        .route("/{channel}/legacy/", post(to_channel))
        // Trusted publishing: clients ask, and go on with what else they have.
        .route("/_/oidc/{*rest}", any(no_trusted_publishing))
}

async fn no_trusted_publishing() -> Problem {
    Problem::not_found("this index has no trusted publishing: use a token")
}

async fn to_main(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Response {
    upload(&app, &caller, Channel::main(), request).await
}

async fn to_channel(
    State(app): State<Arc<App>>,
    Path(channel): Path<String>,
    caller: Caller,
    request: Request,
) -> Response {
    match channel.parse() {
        Ok(channel) => upload(&app, &caller, channel, request).await,
        Err(error) => {
            let problem = Problem::not_found(format!("{error}"));
            refuse(&app, &problem, request.version())
        }
    }
}

/// Answers an upload. Whether it is allowed is known before any of the body is read.
async fn upload(app: &App, caller: &Caller, channel: Channel, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let boundary = caller
        .may(app, Scope::Write, &channel)
        .and_then(|()| boundary(&parts.headers))
        .and_then(|boundary| check_length(app, &parts.headers).map(|()| boundary));
    let boundary = match boundary {
        Ok(boundary) => boundary,
        Err(problem) => return refuse(app, &problem, parts.version),
    };
    let mut body = body.into_data_stream();
    let received = form::read(
        &mut body,
        boundary,
        app.registry.store(),
        &app.settings.limits,
    );
    let form = match received.await {
        Ok(form) => form,
        Err(problem) => return refuse(app, &problem, parts.version),
    };
    match take(app, caller, channel, form).await {
        Ok(published) => {
            let outcome = if published.is_new { "created" } else { "same" };
            app.metrics.uploads.add(outcome);
            done(&published, outcome)
        }
        Err(problem) => {
            count(app, &problem);
            problem.into_response()
        }
    }
}

fn done(published: &Published, outcome: &'static str) -> Response {
    let what = if published.is_new {
        "published"
    } else {
        "was published before, with these bytes"
    };
    let text = format!("{} {what}\n", published.file.filename);
    let kind = header::CONTENT_TYPE;
    let headers = [
        (kind, HeaderValue::from_static("text/plain; charset=utf-8")),
        (
            HeaderName::from_static(UPLOAD_OUTCOME),
            HeaderValue::from_static(outcome),
        ),
    ];
    (StatusCode::OK, headers, text).into_response()
}

/// Publishes what was received, if it is what it claims to be.
async fn take(
    app: &App,
    caller: &Caller,
    channel: Channel,
    form: Form,
) -> Result<Published, Problem> {
    let action = form.required(":action")?;
    if action != "file_upload" {
        return Err(Problem::bad_request(format!(
            "the action `{}` is not known: this index takes `file_upload`",
            shown(action)
        )));
    }
    if let Some(version) = form.one("protocol_version")?.filter(|it| *it != "1") {
        return Err(Problem::bad_request(format!(
            "the upload API has no version `{}`: it is 1",
            shown(version)
        )));
    }
    form.required("name")?;
    form.required("version")?;
    Named::parse(&form.filename)?;
    // That the file is one of the project that the form names is looked at later.
    let project = form
        .required("name")?
        .parse::<wheelfarm_types::ProjectName>();
    if let (Some(upstream), Ok(project)) = (&app.upstream, project) {
        upstream.check_upload(app, &channel, &project).await?;
    }
    check_kind(&form)?;
    check_digests(&form)?;
    let claims = Claims::of(&form);
    let publication = Publication {
        allows_unportable: app.settings.channel(&channel).allows_unportable,
        channel,
        filename: form.filename,
        origin: Origin::Uploaded,
        by: caller.actor(),
        now: app.now(),
    };
    app.publisher
        .publish_spooled(&app.registry, &publication, form.file, claims)
        .await
}

/// Compares the kind of the file that the form gives with its name.
fn check_kind(form: &Form) -> Result<(), Problem> {
    let Some(kind) = form.one("filetype")? else {
        return Ok(());
    };
    let is_wheel = has_ending(&form.filename, ".whl");
    match kind {
        "bdist_wheel" if is_wheel => Ok(()),
        "sdist" if !is_wheel => Ok(()),
        kind => Err(Problem::bad_request(format!(
            "the field `filetype` says `{}`, which `{}` is not",
            shown(kind),
            shown(&form.filename)
        ))),
    }
}

/// Compares every digest that the form gives with that of the file.
fn check_digests(form: &Form) -> Result<(), Problem> {
    let digests = [
        ("sha256_digest", form.file.sha256.to_string()),
        ("blake2_256_digest", form.file.blake2.clone()),
        ("md5_digest", form.file.md5.clone()),
    ];
    for (field, actual) in digests {
        let claimed = form.one(field)?.map(str::to_ascii_lowercase);
        if let Some(claimed) = claimed.filter(|claimed| *claimed != actual) {
            return Err(Problem::bad_request(format!(
                "{}: what arrived has another digest than the field `{field}` says",
                form.filename
            ))
            .with_detail(format!(
                "{field} says {}\nthe {} bytes that arrived have {actual}",
                shown(&claimed),
                form.file.size
            )));
        }
    }
    Ok(())
}

/// The boundary of a multipart form.
fn boundary(headers: &http::HeaderMap) -> Result<String, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(kind).map_err(|_| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "an upload is a form: its content type must be multipart/form-data, with a boundary",
        )
    })
}

/// Refuses what says that it is too large.
fn check_length(app: &App, headers: &http::HeaderMap) -> Result<(), Problem> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let most = app.settings.limits.file;
    match length {
        Some(length) if length > most.saturating_add(BESIDE) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the upload has {length} bytes; files of up to {most} bytes are taken here"),
        )),
        _ => Ok(()),
    }
}

/// Answers before the body has been read to its end. The server reads some of the rest and throws it away.
fn refuse(app: &App, problem: &Problem, version: Version) -> Response {
    count(app, problem);
    let mut response = problem.clone().into_response();
    // Of HTTP/2, only the stream ends.
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

fn count(app: &App, problem: &Problem) {
    let failed = problem.status.is_server_error();
    let outcome = if failed { "failed" } else { "refused" };
    app.metrics.uploads.add(outcome);
}

/// What a client is told when its bytes could not be written.
fn storage(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "an upload could not be written");
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Problem::new(StatusCode::INSUFFICIENT_STORAGE, "the store is full");
    }
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the upload could not be written",
    )
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
