//! A registry that answers what a test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wheelfarm_types::Digest;

/// What a registry answers to one address.
#[derive(Clone, Default)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    pub(super) status: u16,
    /// After so many bytes of the body the connection ends, each time.
    pub(super) cut: Option<usize>,
    /// Only those who show this are answered.
    pub(super) authorization: Option<String>,
    /// How those who do not are told to show it.
    pub(super) challenge: Option<String>,
}

impl Answer {
    pub(super) fn of(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            status: 200,
            ..Self::default()
        }
    }
}

/// What is answered, by address.
type Answers = Arc<Mutex<HashMap<String, Answer>>>;
/// Address and range of every request.
type Requests = Arc<Mutex<Vec<(String, Option<u64>)>>>;

/// A registry at an address of its own, for as long as the test runs.
pub(super) struct Fake {
    pub(super) port: u16,
    pub(super) answers: Answers,
    pub(super) requests: Requests,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            port: listener.local_addr().unwrap().port(),
            answers: Arc::default(),
            requests: Arc::default(),
        };
        let (answers, asked) = (Arc::clone(&fake.answers), Arc::clone(&fake.requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&answers), Arc::clone(&asked)));
            }
        });
        fake
    }

    pub(super) fn put(&self, path: &str, answer: Answer) {
        self.put_at(&format!("/v2/image/{path}"), answer);
    }

    pub(super) fn put_at(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(super) fn put_blob(&self, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", Digest::of(bytes));
        self.put(&format!("blobs/{digest}"), Answer::of(bytes));
        digest
    }

    pub(super) fn put_manifest(&self, manifest: &serde_json::Value) -> String {
        let bytes = manifest.to_string();
        let digest = format!("sha256:{}", Digest::of(&bytes));
        self.put(&format!("manifests/{digest}"), Answer::of(bytes));
        digest
    }

    /// How often the blob was asked for, and from where on.
    pub(super) fn asked(&self, digest: &str) -> Vec<Option<u64>> {
        let asked = self.requests.lock().unwrap();
        let about = asked.iter().filter(|(path, _)| path.ends_with(digest));
        about.map(|(_, from)| *from).collect()
    }

    /// An image of layers of the media type `kind`, with the digests that they have uncompressed; the digest of its
    /// manifest.
    pub(super) fn put_image(&self, kind: &str, layers: &[(Vec<u8>, Digest)]) -> String {
        let ids: Vec<_> = layers
            .iter()
            .map(|(_, id)| format!("sha256:{id}"))
            .collect();
        let configuration = json!({"architecture": "amd64", "os": "linux",
            "config": {"Env": ["A=1"], "Entrypoint": ["/enter"]}, "rootfs": {"diff_ids": ids}});
        let configuration = configuration.to_string();
        let config = self.put_blob(configuration.as_bytes());
        let layers: Vec<_> = layers
            .iter()
            .map(|(layer, _)| {
                json!({"mediaType": kind, "digest": self.put_blob(layer), "size": layer.len()})
            })
            .collect();
        self.put_manifest(&json!({"schemaVersion": 2,
            "config": {"digest": config, "size": configuration.len()}, "layers": layers}))
    }
}

async fn answer(mut stream: TcpStream, answers: Answers, asked: Requests) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let header = |name: &str| {
        request.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok();
    let path = if body.is_empty() {
        path
    } else {
        // What is sent counts as part of the address.
        format!("{path}?{}", String::from_utf8(body).unwrap())
    };
    let from = header("range").and_then(|range| {
        let range = range.strip_prefix("bytes=")?.strip_suffix('-')?;
        range.parse::<u64>().ok()
    });
    asked.lock().unwrap().push((path.clone(), from));
    let known = answers.lock().unwrap().get(&path).cloned();
    let given = known.unwrap_or_else(|| Answer {
        status: if path == "/v2/" { 200 } else { 404 },
        ..Answer::of(r#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#)
    });
    let mut status = given.status;
    let mut body = given.body.as_slice();
    if given.authorization.is_some() && given.authorization != header("authorization") {
        (status, body) = (401, b"{}");
    } else if let Some(from) = from {
        status = 206;
        body = &body[usize::try_from(from).unwrap()..];
    }
    let challenge = given.challenge.as_deref().unwrap_or("Basic realm=\"x\"");
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nwww-authenticate: {challenge}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let body = &body[..given.cut.unwrap_or(body.len()).min(body.len())];
    stream.write_all(head.as_bytes()).await.ok();
    stream.write_all(body).await.ok();
    stream.shutdown().await.ok();
}
