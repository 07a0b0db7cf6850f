//! The answer that has a blob in it.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use wheelfarm_types::Digest;

use crate::files::range::{Wanted, wanted};
use crate::files::{body, conditions};
use crate::server::Outbox;
use crate::{App, Problem};

/// A blob to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its size in bytes, as it was published.
    pub(crate) size: u64,
    /// Whether anybody may read it: caches that several people share may then keep it.
    pub(crate) public: bool,
}

/// What of a request counts when it is answered with a blob.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// GET, or HEAD, which has no body in its answer.
    pub(crate) method: &'a Method,
    /// Conditions and ranges.
    pub(crate) headers: &'a HeaderMap,
    /// How its connection sends files, if it can do it without reading them.
    pub(crate) outbox: Option<&'a Arc<Outbox>>,
}

/// An answer up to its body.
#[derive(Debug)]
pub(crate) enum Outline {
    /// It has none of the blob's bytes in it.
    Finished(Response),
    /// These bytes of the blob belong in it, if it is not one to HEAD.
    Body {
        /// All but the body.
        response: Response<()>,
        /// Which bytes.
        range: Range<u64>,
    },
}

/// Answers with `blob`: whole, a range of it, or that the client has it already. It never changes, as its address
/// has its digest; so it may be kept for ever.
pub(crate) async fn answer(app: &App, asked: Asked<'_>, blob: &Blob) -> Result<Response, Problem> {
    let (response, range) = match outline(asked, blob)? {
        Outline::Finished(response) => return Ok(response),
        Outline::Body { response, range } => (response, range),
    };
    let body = if asked.method == Method::HEAD {
        body::check(app, blob).await?;
        Body::empty()
    } else {
        body::open(app, blob, range, asked.outbox).await?
    };
    Ok(response.map(|()| body))
}

/// The answer with `blob` before anybody has looked for its bytes.
pub(crate) fn outline(asked: Asked<'_>, blob: &Blob) -> Result<Outline, Problem> {
    let etag = format!("\"{}\"", blob.digest);
    if conditions::is_not_what_is_wanted(asked.headers, &etag) {
        return Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "the file is another one than the request wants",
        ));
    }
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CACHE_CONTROL, cache_control(blob.public));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, value);
    }
    if conditions::is_known(asked.headers, &etag) {
        let response = (StatusCode::NOT_MODIFIED, headers).into_response();
        return Ok(Outline::Finished(response));
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let range = match range(asked, &etag, blob.size) {
        Wanted::Unsatisfiable => {
            let response = unsatisfiable(headers, blob.size);
            return Ok(Outline::Finished(response));
        }
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
    };
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let mut status = StatusCode::OK;
    if let Some(range) = &range {
        status = StatusCode::PARTIAL_CONTENT;
        headers.insert(header::CONTENT_RANGE, content_range(range, blob.size));
    }
    let range = range.unwrap_or(0..blob.size);
    let length = range.end - range.start;
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Outline::Body { response, range })
}

/// Ranges are for GET alone (RFC 9110, section 14.2).
fn range(asked: Asked<'_>, etag: &str, size: u64) -> Wanted {
    match asked.headers.get(header::RANGE) {
        Some(value)
            if asked.method == Method::GET && conditions::range_counts(asked.headers, etag) =>
        {
            wanted(value.as_bytes(), size)
        }
        _ => Wanted::Whole,
    }
}

fn cache_control(public: bool) -> HeaderValue {
    HeaderValue::from_static(if public {
        "public, max-age=31536000, immutable"
    } else {
        "private, max-age=31536000, immutable"
    })
}

fn content_range(range: &Range<u64>, size: u64) -> HeaderValue {
    let last = range.end.saturating_sub(1);
    let text = format!("bytes {}-{last}/{size}", range.start);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes */*"))
}

fn unsatisfiable(mut headers: HeaderMap, size: u64) -> Response {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
        headers.insert(header::CONTENT_RANGE, value);
    }
    let text = format!("the file has {size} bytes, and none of those asked for\n");
    (StatusCode::RANGE_NOT_SATISFIABLE, headers, text).into_response()
}
