//! The index behind the server under test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wheelfarm_types::Digest;

/// Makes an answer.
type Reply = Arc<dyn Fn(&HeaderMap) -> Response + Send + Sync>;

/// An index on a port of its own; it is gone when dropped.
pub(super) struct Fake {
    address: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    requests: Mutex<Vec<(String, HeaderMap)>>,
    gate: Mutex<Option<watch::Receiver<bool>>>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let router = Router::new().fallback(async move |uri: Uri, headers: HeaderMap| {
            let path = uri.path().to_owned();
            let gate = serving.gate.lock().unwrap().clone();
            let reply = serving.replies.lock().unwrap().get(&path).cloned();
            serving
                .requests
                .lock()
                .unwrap()
                .push((path, headers.clone()));
            if let Some(mut gate) = gate {
                gate.wait_for(|open| *open).await.unwrap();
            }
            match reply {
                Some(reply) => reply(&headers),
                None => StatusCode::NOT_FOUND.into_response(),
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            task,
        }
    }

    /// Its simple index.
    pub(super) fn index(&self) -> String {
        format!("{}/simple", self.address)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Answers `path` with what `reply` makes.
    pub(super) fn reply(
        &self,
        path: &str,
        reply: impl Fn(&HeaderMap) -> Response + Send + Sync + 'static,
    ) {
        let mut replies = self.shared.replies.lock().unwrap();
        replies.insert(path.to_owned(), Arc::new(reply));
    }

    /// Answers `path` with these bytes, and ranges of them.
    pub(super) fn file(&self, path: &str, bytes: &'static [u8]) {
        self.reply(path, move |headers| {
            let range = headers.get(header::RANGE).and_then(|it| it.to_str().ok());
            let from = range.and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-'));
            match from.and_then(|from| from.parse::<usize>().ok()) {
                None => bytes.into_response(),
                Some(from) => {
                    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                    let headers = [(header::CONTENT_RANGE, range)];
                    (StatusCode::PARTIAL_CONTENT, headers, &bytes[from..]).into_response()
                }
            }
        });
    }

    /// Answers a project's page with these files, and knows whether a client has it.
    pub(super) fn project(&self, project: &str, files: &[Value]) {
        let page = json!({"meta": {"api-version": "1.4"}, "name": project, "files": files});
        let page = page.to_string();
        let etag = format!("\"{}\"", Digest::of(&page).short());
        self.reply(&format!("/simple/{project}/"), move |headers| {
            let tags = [(header::ETAG, etag.clone())];
            if headers
                .get(header::IF_NONE_MATCH)
                .is_some_and(|tag| *tag == *etag)
            {
                return (StatusCode::NOT_MODIFIED, tags).into_response();
            }
            let kind = [(header::CONTENT_TYPE, "application/vnd.pypi.simple.v1+json")];
            (tags, kind, page.clone()).into_response()
        });
    }

    /// A project with one file, whose bytes are at `/pool/<filename>`; its address on the server under test.
    pub(super) fn with(&self, filename: &str, bytes: &'static [u8]) -> String {
        let project = filename.split('-').next().unwrap();
        self.project(project, &[entry(filename, bytes)]);
        self.file(&format!("/pool/{filename}"), bytes);
        address(filename, bytes)
    }

    /// How often `path` was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|(asked, _)| asked == path).count()
    }

    /// How often anything was asked for.
    pub(super) fn requests(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// The headers of the last request for `path`.
    pub(super) fn last(&self, path: &str) -> HeaderMap {
        let requests = self.shared.requests.lock().unwrap();
        let mut asked = requests.iter().rev().filter(|(asked, _)| asked == path);
        asked.next().unwrap().1.clone()
    }

    /// From now on answers wait until the gate is opened with `true`.
    pub(super) fn gate(&self) -> watch::Sender<bool> {
        let (sender, receiver) = watch::channel(false);
        *self.shared.gate.lock().unwrap() = Some(receiver);
        sender
    }

    /// From now on everything is answered with `status`.
    pub(super) fn fails_with(&self, status: StatusCode) {
        let mut replies = self.shared.replies.lock().unwrap();
        for reply in replies.values_mut() {
            *reply = Arc::new(move |_| status.into_response());
        }
    }
}

/// An entry of a page.
pub(super) fn entry(filename: &str, bytes: &[u8]) -> Value {
    json!({
        "filename": filename,
        "url": format!("../../pool/{filename}"),
        "hashes": {"sha256": Digest::of(bytes)},
        "size": bytes.len(),
        "upload-time": "2025-12-25T00:00:00Z",
    })
}

/// Where the server under test has the file.
pub(super) fn address(filename: &str, bytes: &[u8]) -> String {
    format!("/files/{}/{filename}", Digest::of(bytes))
}

/// A body whose pieces come from a channel: an error aborts the connection.
pub(super) fn piecewise(
    pieces: tokio::sync::mpsc::UnboundedReceiver<std::io::Result<&'static str>>,
) -> Body {
    Body::from_stream(futures::stream::unfold(pieces, async |mut pieces| {
        Some((pieces.recv().await?, pieces))
    }))
}
