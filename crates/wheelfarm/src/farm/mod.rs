//! A farm elsewhere: its server, asked to build.

mod sse;

use std::io::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use wheelfarm_build::{Event, Observer};
use wheelfarm_coordinator::AtomicFile;
use wheelfarm_index::BuildRequest;
use wheelfarm_resolve::{IndexSettings, chain};
use wheelfarm_types::{Digest, Hasher};

use self::sse::Parser;
use crate::exit::{Exit, Failure};
use crate::servers::{self, Login};

/// Seconds that are waited after the connection is lost, one after the other; then the farm counts as gone.
const PATIENCE: [u64; 8] = [1, 2, 4, 8, 15, 30, 60, 60];
/// Longest piece of an answer that is no file and no stream, in bytes.
const LONGEST: usize = 64 << 20;

/// A farm's server.
pub(crate) struct Farm {
    client: Client,
    base: Url,
    login: Option<Login>,
}

/// A build that the farm has begun, or joined.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Begun {
    pub(crate) id: String,
}

#[derive(Deserialize)]
struct Answer {
    joined: bool,
    build: Begun,
}

/// A problem as the server tells it.
#[derive(Deserialize)]
struct Told {
    title: String,
    detail: Option<String>,
}

/// How a build ended.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Ended {
    pub(crate) exit: u8,
    #[serde(default)]
    pub(crate) failures: Vec<String>,
    #[serde(default)]
    pub(crate) hint: Option<String>,
    #[serde(default)]
    pub(crate) published: Vec<String>,
}

/// What came of a build.
pub(crate) struct Outcome {
    pub(crate) build: Begun,
    /// The report; none if nothing could be built at all.
    pub(crate) report: Option<Value>,
    pub(crate) ended: Ended,
}

/// Why a stream of events ended before the build did.
enum Lost {
    /// The connection.
    Connection(String),
    /// The farm does not know the build: it was restarted.
    Forgotten,
}

impl Farm {
    /// The farm at `address`, which may hold the token as its password; else it is `token`, or what netrc has.
    pub(crate) fn new(
        address: &str,
        token: Option<&str>,
        settings: &IndexSettings,
    ) -> Result<Self, Failure> {
        let (mut base, login) = servers::address(address, token, "the farm's address")?;
        base.set_query(None);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let client = servers::client(settings, |client| {
            // The server says something every 15 seconds.
            client.read_timeout(Duration::from_secs(60))
        })?;
        Ok(Self {
            client,
            base,
            login,
        })
    }

    /// Its address, without secrets.
    pub(crate) fn shown(&self) -> &Url {
        &self.base
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.login {
            Some(login) => request.basic_auth(&login.user, Some(&login.password)),
            None => request,
        }
    }

    async fn get(&self, segments: &[&str]) -> Result<Response, Failure> {
        let request = self.with_token(self.client.get(self.url(segments)));
        let response = request
            .send()
            .await
            .map_err(|error| self.gone(&chain(&error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    fn gone(&self, why: &str) -> Failure {
        Failure::machine(format!("the farm at {} does not answer: {why}", self.base))
    }

    /// A refusal in the server's own words.
    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let body = limited(response).await.unwrap_or_default();
        let told: Option<Told> = serde_json::from_slice(&body).ok();
        let (title, detail) = told.map_or_else(
            || (status.to_string(), None),
            |told| (told.title, told.detail),
        );
        let message = format!("the farm at {} refuses: {title}", self.base);
        let is_request = status.is_client_error();
        let failure = if is_request {
            Failure::usage(message)
        } else {
            Failure::machine(message)
        };
        let needs_token = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        failure.with_hint(detail.or_else(|| {
            needs_token.then(|| {
                "`wheelfarm token create --scope build` on the farm makes a token; set WHEELFARM_FARM_TOKEN to it"
                    .to_owned()
            })
        }))
    }

    /// Asks for a build; tells whether somebody had asked for the same before.
    async fn start(&self, request: &BuildRequest) -> Result<(Begun, bool), Failure> {
        let body = serde_json::to_vec(request).map_err(|e| Failure::usage(e.to_string()))?;
        let url = self.url(&["api", "builds"]);
        let post = self
            .with_token(self.client.post(url))
            .header("content-type", "application/json")
            .body(body);
        let response = post
            .send()
            .await
            .map_err(|error| self.gone(&chain(&error)))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let body = limited(response).await.map_err(|error| self.gone(&error))?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| self.gone(&format!("its answer is not understood: {error}")))?;
        Ok((answer.build, answer.joined))
    }

    /// Has the farm build, and sends what happens there to `observer`. When the connection is lost, goes on where it
    /// was; when the farm was restarted, asks again: what was done is in its store. `began` is told which build it is
    /// whenever there is another one.
    pub(crate) async fn build(
        &self,
        request: &BuildRequest,
        observer: &Observer,
        began: impl Fn(&Begun, bool),
    ) -> Result<Outcome, Failure> {
        let (mut build, joined) = self.start(request).await?;
        began(&build, joined);
        let mut last = 0;
        let mut report = None;
        let mut lost = 0;
        loop {
            let before = last;
            match self
                .follow(&build.id, &mut last, &mut report, observer)
                .await
            {
                Ok(ended) => {
                    return Ok(Outcome {
                        build,
                        report,
                        ended,
                    });
                }
                Err(Lost::Forgotten) => {
                    let (again, joined) = self.start(request).await?;
                    began(&again, joined);
                    build = again;
                    last = 0;
                }
                Err(Lost::Connection(why)) => {
                    if last > before {
                        lost = 0;
                    }
                    let Some(pause) = PATIENCE.get(lost) else {
                        return Err(self.gone(&why));
                    };
                    lost += 1;
                    tokio::time::sleep(Duration::from_secs(*pause)).await;
                }
            }
        }
    }

    /// Follows a build from event `last` on to its end.
    async fn follow(
        &self,
        id: &str,
        last: &mut u64,
        report: &mut Option<Value>,
        observer: &Observer,
    ) -> Result<Ended, Lost> {
        let lost = |error: &reqwest::Error| Lost::Connection(chain(error));
        let request = self.client.get(self.url(&["api", "builds", id, "events"]));
        let request = self
            .with_token(request)
            .header("accept", "text/event-stream")
            .header("last-event-id", last.to_string());
        let response = request.send().await.map_err(|error| lost(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Lost::Forgotten),
            status => return Err(Lost::Connection(status.to_string())),
        }
        let mut parser = Parser::default();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| lost(&error))?;
            for message in parser.push(&piece).map_err(Lost::Connection)? {
                if let Some(id) = message.id {
                    *last = id;
                }
                let Ok(value) = serde_json::from_str::<Value>(&message.data) else {
                    continue;
                };
                match value.get("event").and_then(Value::as_str) {
                    Some("report") => *report = value.get("report").cloned(),
                    Some("end") => {
                        return serde_json::from_value(value)
                            .map_err(|error| Lost::Connection(error.to_string()));
                    }
                    // What a newer farm says and we do not know is not for us.
                    _ => {
                        if let Ok(event) = serde_json::from_value::<Event>(value) {
                            observer(event);
                        }
                    }
                }
            }
        }
        Err(Lost::Connection("the connection ended".to_owned()))
    }

    /// Says that we do not wait for a build any more; the farm ends it if nobody else does.
    pub(crate) async fn give_up(&self, build: &str) {
        let request = self.client.delete(self.url(&["api", "builds", build]));
        let request = self.with_token(request).timeout(Duration::from_secs(5));
        // If it does not hear us, it builds what nobody needs.
        request.send().await.ok();
    }

    /// Writes a wheel of a build to `out`, and checks it.
    pub(crate) async fn wheel(
        &self,
        build: &str,
        filename: &str,
        sha256: &Digest,
        out: &mut AtomicFile,
    ) -> Result<(), Failure> {
        let unwritten = |error: io::Error| Failure::machine(format!("`{filename}`: {error}"));
        let mut tries = PATIENCE.iter().take(4);
        loop {
            out.restart().map_err(unwritten)?;
            let fetched = async {
                let response = self
                    .get(&["api", "builds", build, "wheels", filename])
                    .await?;
                let mut pieces = response.bytes_stream();
                let mut hasher = Hasher::default();
                while let Some(piece) = pieces.next().await {
                    let piece = piece.map_err(|error| self.gone(&chain(&error)))?;
                    hasher.update(&piece);
                    out.writer().write_all(&piece).map_err(unwritten)?;
                }
                Ok::<_, Failure>(hasher.finish())
            };
            match fetched.await {
                Ok(found) if found == *sha256 => return Ok(()),
                Ok(_) => {
                    let message =
                        format!("`{filename}` came from the farm with other bytes than it said");
                    return Err(Failure::machine(message));
                }
                Err(failure) if failure.exit == Exit::Environment => match tries.next() {
                    Some(pause) => tokio::time::sleep(Duration::from_secs(*pause)).await,
                    None => return Err(failure),
                },
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The log of a job of a build, if the farm still has it.
    pub(crate) async fn log(&self, build: &str, job: &str) -> Option<Bytes> {
        let response = self
            .get(&["api", "builds", build, "logs", job])
            .await
            .ok()?;
        limited(response).await.ok().map(Bytes::from)
    }
}

/// A body that is held in memory.
async fn limited(response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(|error| chain(&error))?);
        if body.len() > LONGEST {
            return Err("its answer does not end".to_owned());
        }
    }
    Ok(body)
}
