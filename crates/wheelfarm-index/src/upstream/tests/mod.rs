//! A server with a made-up index behind it, which does what real ones do on bad days.

mod fake;
mod files;
mod flow;
mod pages;
mod rules;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Body;
use axum::response::Response;
use chrono::DateTime;
use http::{HeaderName, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;
use wheelfarm_resolve::IndexSettings;
use wheelfarm_store::Store;

use super::UpstreamSettings;
use crate::registry::Registry;
use crate::{App, Settings};

/// A server and its clock.
struct Server {
    app: Arc<App>,
    seconds: Arc<AtomicI64>,
}

impl Server {
    /// A server on `store` that falls back to `index`.
    async fn start(store: &Store, index: &str) -> Self {
        Self::with(
            store,
            UpstreamSettings::new(index, IndexSettings::default()),
        )
        .await
    }

    async fn with(store: &Store, upstream: UpstreamSettings) -> Self {
        let settings = Settings {
            upstream: Some(upstream),
            ..Settings::default()
        };
        let registry = Registry::open(store.clone()).await.unwrap();
        // The beginning of 2026.
        let seconds = Arc::new(AtomicI64::new(1_767_225_600));
        let clock = Arc::clone(&seconds);
        let clock = move || DateTime::from_timestamp(clock.load(Ordering::SeqCst), 0).unwrap();
        let app = App::new(registry, settings, None, Arc::new(clock)).unwrap();
        Self { app, seconds }
    }

    fn later(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let router = Arc::clone(&self.app).router();
        router.oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.ask("GET", path, &[]).await
    }

    /// The JSON page of a project.
    async fn page(&self, project: &str) -> serde_json::Value {
        let accept = ("accept", "application/vnd.pypi.simple.v1+json");
        let response = self.ask("GET", &page_path(project), &[accept]).await;
        assert_eq!(response.status(), 200);
        serde_json::from_slice(&bytes(response).await).unwrap()
    }
}

fn page_path(project: &str) -> String {
    format!("/simple/{project}/")
}

async fn bytes(response: Response) -> Vec<u8> {
    let body = response.into_body().collect().await.unwrap();
    body.to_bytes().to_vec()
}

/// An answer that must not come to a good end: it breaks off, or what is wrong was known before it began.
async fn aborted(response: Response) {
    if response.status() != 502 {
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.is_err());
    }
}

fn text(response: &Response, name: HeaderName) -> &str {
    response.headers().get(name).unwrap().to_str().unwrap()
}

async fn memory() -> Store {
    Store::open("memory:").await.unwrap()
}
