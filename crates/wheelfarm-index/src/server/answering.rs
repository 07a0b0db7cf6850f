//! From a request to its answer: the same for all addresses.

use std::any::Any;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::request::Parts;
use http::{Request, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::Service;

use crate::server::Outbox;
use crate::server::pulse::Pulse;
use crate::server::received::Received;
use crate::server::sent::{Entry, Sent};
use crate::server::visit::{REQUEST_ID, Visit};
use crate::{App, Problem, files, simple};

/// Answers the requests of one connection.
pub(super) struct Answering {
    pub(super) app: Arc<App>,
    pub(super) router: Router,
    pub(super) peer: SocketAddr,
    pub(super) pulse: Arc<Pulse>,
    pub(super) outbox: Option<Arc<Outbox>>,
}

impl Answering {
    /// Answers a request. A bug in what answers it costs the client this answer, not the connection.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Sent>, Infallible> {
        self.pulse.request_begins();
        let (parts, body) = request.into_parts();
        let proxies = &self.app.settings.trusted_proxies;
        let visit = Visit::new(&parts.headers, self.peer, proxies, self.outbox.as_ref());
        let mut entry = Entry {
            app: self.app.clone(),
            pulse: self.pulse.clone(),
            visit: visit.clone(),
            begun: Instant::now(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            authorized: parts.headers.contains_key(header::AUTHORIZATION),
            status: None,
            bytes: 0,
            unfinished: true,
        };
        let answer = AssertUnwindSafe(self.respond(parts, body, &visit));
        let mut response = match answer.catch_unwind().await {
            Ok(response) => response,
            Err(panic) => self.bug(&visit, panic.as_ref()),
        };
        response.headers_mut().insert(REQUEST_ID, visit.id.clone());
        entry.status = Some(response.status());
        let (parts, body) = response.into_parts();
        let body = Sent::new(body, &parts.headers, entry);
        Ok(Response::from_parts(parts, body))
    }

    /// Files and pages of projects do not need the router.
    async fn respond(&self, mut parts: Parts, body: Incoming, visit: &Arc<Visit>) -> Response {
        if let Some(response) = files::direct(&self.app, visit, &parts).await {
            return response;
        }
        if let Some(response) = simple::direct(&self.app, visit, &mut parts).await {
            return response;
        }
        let proxies = &self.app.settings.trusted_proxies;
        proxies.strip(self.peer.ip(), &mut parts.headers);
        parts.extensions.insert(visit.clone());
        let body = self.received(&parts, body);
        let routed = self.router.clone().call(Request::from_parts(parts, body));
        let Ok(response) = routed.await;
        response
    }

    fn received(&self, parts: &Parts, body: Incoming) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        let lingers =
            parts.version < Version::HTTP_2 && !parts.headers.contains_key(header::EXPECT);
        let (app, pulse) = (self.app.clone(), self.pulse.clone());
        Body::new(Received::new(body, app, pulse, lingers))
    }

    fn bug(&self, visit: &Visit, panic: &(dyn Any + Send)) -> Response {
        let said = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or_default();
        let id = visit.id.to_str().unwrap_or_default();
        tracing::error!(request = id, panic = said, "a request met a bug");
        self.app.metrics.panics.inc();
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the server has a bug; its log says more about the request {id}"),
        )
        .into_response()
    }
}
