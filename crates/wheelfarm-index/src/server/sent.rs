//! Bodies of answers, and what is counted and logged when one has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body::{Body as _, Frame, SizeHint};

use crate::App;
use crate::health::{ClassLabels, RequestLabels, RouteClass};
use crate::server::pulse::Pulse;
use crate::server::visit::Visit;

/// The body of an answer; when it is dropped the request is over.
pub(super) struct Sent {
    body: Body,
    /// Its length, if that is known: who sends it does not ask for more then, so its end is not seen.
    length: Option<u64>,
    entry: Entry,
}

/// What the log says of a request.
pub(super) struct Entry {
    pub(super) app: Arc<App>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) visit: Arc<Visit>,
    pub(super) begun: Instant,
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// Whether it came with a secret.
    pub(super) authorized: bool,
    /// What was answered; none, if the client went away before.
    pub(super) status: Option<StatusCode>,
    /// Bytes of the body that were sent.
    pub(super) bytes: u64,
    /// Whether there are more.
    pub(super) unfinished: bool,
}

impl Sent {
    /// The body of an answer with these headers.
    pub(super) fn new(body: Body, headers: &HeaderMap, mut entry: Entry) -> Self {
        let stated = headers.get(header::CONTENT_LENGTH);
        let stated = stated.and_then(|value| value.to_str().ok()?.parse().ok());
        let empty = entry.method == Method::HEAD || body.is_end_stream();
        entry.unfinished = !empty;
        Self {
            length: body.size_hint().exact().or(stated),
            body,
            entry,
        }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                self.entry.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                self.entry.unfinished = self.length.is_none_or(|it| self.entry.bytes < it);
            }
            Some(Err(error)) => {
                let id = self.entry.visit.id.to_str().unwrap_or_default();
                tracing::warn!(request = id, %error, "an answer could not be sent to its end");
            }
            None => self.entry.unfinished = false,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.pulse.request_ends();
        let route = RouteClass::of(self.uri.path());
        let elapsed = self.begun.elapsed();
        let metrics = &self.app.metrics;
        let labels = RequestLabels {
            route,
            method: method_label(&self.method),
            // As nginx has it, for a client that did not wait.
            status: self.status.map_or(499, |status| status.as_u16()),
        };
        metrics.requests.get_or_create(&labels).inc();
        metrics
            .seconds
            .get_or_create(&ClassLabels { route })
            .observe(elapsed.as_secs_f64());
        metrics.sent.inc_by(self.bytes);
        self.log(labels.status, elapsed);
    }
}

/// A line of the log, at a level that is only known now.
macro_rules! line {
    ($level:ident, $entry:expr, $status:expr, $elapsed:expr) => {
        tracing::$level!(
            target: "wheelfarm::requests",
            request = $entry.visit.id.to_str().unwrap_or_default(),
            client = %$entry.visit.client,
            proxy = $entry.visit.proxy.map(tracing::field::display),
            method = %$entry.method,
            // Not what follows it: a query may hold anything.
            path = $entry.uri.path(),
            status = $status,
            bytes = $entry.bytes,
            unfinished = $entry.unfinished.then_some(true),
            ms = $elapsed.as_secs_f64() * 1000.0,
            token = $entry.visit.token().map(tracing::field::display),
        )
    };
}

impl Entry {
    /// One line for each request. What only reads is logged at the level `debug`, and so is what clients do not know
    /// before they have asked: that there is no such project, or that a token is needed.
    fn log(&self, status: u16, elapsed: std::time::Duration) {
        let routine = match status {
            404 => true,
            401 => !self.authorized,
            _ => status < 400,
        };
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        if status >= 500 {
            line!(warn, self, status, elapsed);
        } else if reads && routine {
            line!(debug, self, status, elapsed);
        } else {
            line!(info, self, status, elapsed);
        }
    }
}

/// A method as a label: clients can make up methods, and each would be one more line in the metrics.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
