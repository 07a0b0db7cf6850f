use std::sync::Arc;

use axum::body::Body;
use chrono::DateTime;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::registry::testing::registry;
use crate::{App, Settings};

async fn server(settings: Settings) -> Arc<App> {
    let clock = Arc::new(|| DateTime::UNIX_EPOCH);
    App::new(registry().await, settings, None, clock).unwrap()
}

async fn ask(app: &Arc<App>, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap();
    (status, String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn a_server_that_stops_is_alive_but_not_ready() {
    let app = server(Settings::default()).await;
    assert_eq!(ask(&app, "/healthz").await.0, 200);
    assert_eq!(ask(&app, "/readyz").await.0, 200);
    app.metrics.readiness.stops();
    assert_eq!(ask(&app, "/healthz").await.0, 200);
    assert_eq!(ask(&app, "/readyz").await.0, 503);
}

#[tokio::test]
async fn what_was_counted_is_told() {
    let app = server(Settings::default()).await;
    app.metrics.uploads.add("created");
    app.metrics.uploads.add("created");
    let (status, text) = ask(&app, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "wheelfarm_uploads_total{outcome=\"created\"} 2",
        "wheelfarm_registry_entry 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn metrics_can_be_for_those_with_a_token() {
    let settings = Settings {
        metrics_need_token: true,
        ..Settings::default()
    };
    let app = server(settings).await;
    assert_eq!(ask(&app, "/metrics").await.0, 401);
}
