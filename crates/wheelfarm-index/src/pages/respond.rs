//! From templates to responses.

use askama::Template;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::viewer::Frame;
use crate::Problem;

/// Only what this server itself sends is loaded, nothing inside a page is run, and no other page may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    status: u16,
    heading: &'static str,
    problem: &'a Problem,
}

/// The page of `template`, to be asked for again each time: what is published may change at any moment.
pub(super) fn page(template: &impl Template) -> Result<Response, Problem> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be made");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the page could not be made",
        )
    })?;
    let mut response = html.into_response();
    set_headers(response.headers_mut());
    Ok(response)
}

fn set_headers(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let cache = HeaderValue::from_static("private, no-cache");
    headers.entry(header::CACHE_CONTROL).or_insert(cache);
}

/// To another page; `to` is relative to this one.
pub(super) fn to(to: &str, query: Option<&str>) -> Redirect {
    match query {
        Some(query) => Redirect::permanent(&format!("{to}?{query}")),
        None => Redirect::permanent(to),
    }
}

/// Refusals that handlers give reach people as pages, with status and headers as they are.
pub(super) async fn problems_as_pages(request: Request, next: Next) -> Response {
    let frame = Frame::bare(request.uri().path());
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let template = ProblemPage {
        frame,
        status: problem.status.as_u16(),
        heading: match problem.status {
            StatusCode::NOT_FOUND => "Not here",
            StatusCode::UNAUTHORIZED => "A token is needed",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::BAD_REQUEST => "Not understood",
            status if status.is_server_error() => "The server cannot answer",
            _ => "This cannot be shown",
        },
        problem: &problem,
    };
    let Ok(html) = template.render() else {
        return response;
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    set_headers(&mut parts.headers);
    Response::from_parts(parts, html.into())
}
