//! Wheels, forms and a server to send them to.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use wheelfarm_types::{Digest, WheelFilename};
use wheelfarm_wheel::WheelWriter;

use crate::registry::testing::{commit, registry};
use crate::registry::{Channel, Event, Scope, Token};
use crate::{App, ChannelSettings, Settings};

pub(crate) const NAME: &str = "demo_pkg-1.0-py3-none-any.whl";
pub(crate) const METADATA: &str = "Metadata-Version: 2.1\nName: Demo.Pkg\nVersion: 1.0\nSummary: A demo\nRequires-Python: >=3.9\nRequires-Dist: idna (>=2)\n\nText\n";
const BOUNDARY: &str = "8e3f7c";

/// A wheel without compiled code, with these members beside WHEEL and RECORD.
pub(crate) fn wheel(name: &str, members: &[(&str, &[u8])]) -> Vec<u8> {
    let filename: WheelFilename = name.parse().unwrap();
    let info = format!("{}.dist-info", filename.stem());
    let mut text = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n".to_owned();
    for tag in filename.tags() {
        writeln!(text, "Tag: {tag}").unwrap();
    }
    let mut writer = WheelWriter::new(filename);
    writer
        .insert(&format!("{info}/WHEEL"), text.into_bytes(), false)
        .unwrap();
    for (path, content) in members {
        let path = path.replace("INFO", &info);
        writer.insert(&path, content.to_vec(), false).unwrap();
    }
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).unwrap();
    bytes
}

/// The wheel [`NAME`].
pub(crate) fn demo() -> Vec<u8> {
    wheel(
        NAME,
        &[
            ("demo.py", b"x = 1\n"),
            ("INFO/METADATA", METADATA.as_bytes()),
        ],
    )
}

/// A form as twine sends it.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) filename: String,
    pub(crate) content: Option<Vec<u8>>,
}

impl Sent {
    /// The form for `content`, a wheel of demo-pkg 1.0.
    pub(crate) fn of(filename: &str, content: Vec<u8>) -> Self {
        let fields = [
            (":action", "file_upload"),
            ("protocol_version", "1"),
            ("filetype", "bdist_wheel"),
            ("pyversion", "py3"),
            ("metadata_version", "2.1"),
            ("name", "Demo.Pkg"),
            ("version", "1.0"),
            ("summary", "A demo"),
            ("requires_python", ">=3.9"),
            ("requires_dist", "idna (>=2)"),
            ("sha256_digest", &Digest::of(&content).to_string()),
        ];
        Self {
            fields: fields.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            filename: filename.to_owned(),
            content: Some(content),
        }
    }

    /// With another value of a field.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a field.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            body.extend(
                format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                )
                .bytes(),
            );
        }
        if let Some(content) = &self.content {
            body.extend(
                format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
                    self.filename
                )
                .bytes(),
            );
            body.extend(content);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        body
    }
}

/// A server in memory, and the secret of a token that may write everywhere.
pub(crate) struct Served {
    pub(crate) app: Arc<App>,
    pub(crate) secret: String,
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

impl Served {
    pub(crate) async fn new() -> Self {
        let mut settings = Settings::default();
        settings.limits.file = 8 << 20;
        let lenient = ChannelSettings {
            allows_unportable: true,
            ..ChannelSettings::default()
        };
        settings.channels.insert("lab".parse().unwrap(), lenient);
        let private = ChannelSettings {
            private: true,
            ..ChannelSettings::default()
        };
        settings.channels.insert("team".parse().unwrap(), private);
        let app = App::new(registry().await, settings, None, Arc::new(now)).unwrap();
        let mut served = Self {
            app,
            secret: String::new(),
        };
        served.secret = served.token(&[Scope::Write], &[], None).await;
        served
    }

    /// Makes a token and returns its secret.
    pub(crate) async fn token(
        &self,
        scopes: &[Scope],
        channels: &[Channel],
        expires: Option<DateTime<Utc>>,
    ) -> String {
        let (token, secret) = Token::generate(
            "ci".into(),
            scopes.iter().copied().collect(),
            channels.iter().cloned().collect(),
            now(),
            expires,
        )
        .unwrap();
        commit(&self.app.registry, Event::TokenCreated { token }).await;
        secret
    }

    /// Uploads to the main channel with the token that may do so.
    pub(crate) async fn upload(&self, sent: &Sent) -> (StatusCode, String) {
        self.post("/legacy/", Some(&self.secret), sent.body()).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        secret: Option<&str>,
        body: Vec<u8>,
    ) -> (StatusCode, String) {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let mut request = Request::post(path).header("content-type", kind);
        if let Some(secret) = secret {
            let pair = BASE64_STANDARD.encode(format!("__token__:{secret}"));
            request = request.header("authorization", format!("Basic {pair}"));
        }
        // In pieces, as it comes from a network.
        let pieces: Vec<_> = body
            .chunks(1000)
            .map(|piece| Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(piece)))
            .collect();
        let body = Body::from_stream(futures::stream::iter(pieces));
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let router = Arc::clone(&self.app).router();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let title = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|body| body.get("title")?.as_str().map(str::to_owned));
        (status, title.unwrap_or(text))
    }
}
