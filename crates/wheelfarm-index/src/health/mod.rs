//! Whether the server lives, is ready, and what it has done.

mod class;
mod metrics;
mod ready;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};

pub(crate) use class::RouteClass;
pub(crate) use metrics::{ClassLabels, Metrics, RequestLabels};
pub(crate) use ready::Readiness;

use crate::auth::Caller;
use crate::{App, Problem};

/// The addresses of this part.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// `/healthz`: the process answers. Who restarts it because of anything else makes an outage of a hiccup.
async fn alive() -> Response {
    plain(StatusCode::OK, "ok\n")
}

/// `/readyz`: requests may be sent here. The store has answered lately, and nobody has asked the server to end.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match ready::check(&app).await {
        Ok(()) => plain(StatusCode::OK, "ready\n"),
        Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// `/metrics`, in the text form of `OpenMetrics`, which Prometheus reads. There are no names of projects in it.
async fn metrics(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    if app.settings.metrics_need_token && caller.token.is_none() {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "a token is needed to read the metrics",
        ));
    }
    let mut response = app.metrics.text(&app).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    );
    no_store(&mut response);
    Ok(response)
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = (status, text).into_response();
    no_store(&mut response);
    response
}

fn no_store(response: &mut Response) {
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
}
