//! What a client is told when something is refused or fails.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use serde::Serialize;
use wheelfarm_store::{StoreError, StoreErrorKind};

/// A refusal, said three times, since clients differ in what they show: twine shows the reason phrase of the status
/// line, uv the body ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), and a browser a page made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// One sentence that says what is wrong, and with which file.
    pub title: String,
    /// More, over several lines if need be, and what to do.
    pub detail: Option<String>,
    /// After how many seconds to come again.
    pub retry_after: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    status: u16,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Problem {
    /// A problem with this status and sentence.
    pub fn new(status: StatusCode, title: impl Into<String>) -> Self {
        Self {
            status,
            title: title.into(),
            detail: None,
            retry_after: None,
        }
    }

    /// 400.
    pub(crate) fn bad_request(title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, title)
    }

    /// 404.
    pub(crate) fn not_found(title: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, title)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says after how many seconds it is worth to come again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The sentence as a reason phrase: one line of visible ASCII (RFC 9112, section 4).
    fn reason(&self) -> Option<ReasonPhrase> {
        let plain: String = self
            .title
            .chars()
            .map(|c| {
                if c == ' ' || c.is_ascii_graphic() {
                    c
                } else {
                    '?'
                }
            })
            .take(400)
            .collect();
        plain.into_bytes().try_into().ok()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            status: self.status.as_u16(),
            title: &self.title,
            detail: self.detail.as_deref(),
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"wheelfarm\", charset=\"UTF-8\""),
            );
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(reason) = self.reason() {
            response.extensions_mut().insert(reason);
        }
        // Pages for people say it in their own way.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    /// The store's failures are logged here, once; a client learns that it should come again, not where the store is.
    fn from(error: StoreError) -> Self {
        if error.kind() == StoreErrorKind::NotFound {
            tracing::error!(%error, "a published file is missing in the store");
        } else {
            tracing::error!(%error, "the store failed");
        }
        let full = error.kind() == StoreErrorKind::Full;
        let (status, title) = if full {
            (StatusCode::INSUFFICIENT_STORAGE, "the store is full")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer")
        };
        Self::new(status, title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_one_line_of_ascii() {
        let problem = Problem::bad_request("no \"é\"\r\nSet-Cookie: x");
        let response = problem.into_response();
        let reason: &ReasonPhrase = response.extensions().get().unwrap();
        assert_eq!(reason.as_bytes(), b"no \"?\"??Set-Cookie: x");
        assert_eq!(response.status(), 400);
        let kind = response.headers().get(header::CONTENT_TYPE).unwrap();
        assert_eq!(kind, "application/problem+json");
    }

    #[test]
    fn who_is_not_known_is_asked_for_a_token() {
        let response = Problem::new(StatusCode::UNAUTHORIZED, "a token is needed").into_response();
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
