//! Files for an index server: read, described as the upload API wants it, and sent.
//!
//! The API is the one that twine speaks and that PyPI documents as its upload API: a form with the file, its digests and its core metadata.

mod address;
mod answer;
mod artifact;
mod fields;
mod form;
mod meter;
mod patience;

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use wheelfarm_index::registry::Channel;
use wheelfarm_resolve::{IndexSettings, chain};

pub(crate) use self::artifact::Artifact;
pub(crate) use self::meter::Meter;

use self::answer::{Answer, Lost};
use crate::exit::Failure;
use crate::servers::{self, Login};

/// How long nothing may be sent, and an answer may be waited for: the other side audits what it was sent.
const SILENCE: Duration = Duration::from_secs(300);
/// How often progress is shown.
const FRAME: Duration = Duration::from_millis(100);

/// An index server that takes uploads.
pub(crate) struct Index {
    client: Client,
    address: Url,
    login: Option<Login>,
}

/// What an index did with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Published it.
    New,
    /// Had it, with these bytes.
    Same,
    /// One or the other: it does not say.
    Either,
}

/// Why a file is not published.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    /// The status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// Whether the same is true of all other files.
    pub(crate) is_final: bool,
}

impl Index {
    /// The index that takes uploads at `address`, or, with a channel, the wheelfarm server there. The token is `token`,
    /// else the password in the address, else what netrc has for its host.
    pub(crate) fn new(
        address: &str,
        channel: Option<&Channel>,
        token: Option<&str>,
        settings: &IndexSettings,
    ) -> Result<Self, Failure> {
        let (address, login) = address::place(address, channel, token)?;
        let client = servers::client(settings, |client| {
            // A body that is being sent cannot be sent again elsewhere.
            client.redirect(Policy::none())
        })?;
        Ok(Self {
            client,
            address,
            login,
        })
    }

    /// Its address, without secrets.
    pub(crate) fn shown(&self) -> &Url {
        &self.address
    }

    /// Sends a file. An index that does not answer, or says that it cannot do it now, is asked again a few times.
    pub(crate) async fn send(
        &self,
        artifact: &Artifact,
        meter: &mut Meter,
    ) -> Result<Taken, Refusal> {
        let mut pauses = patience::pauses();
        loop {
            let answer = match self.try_send(artifact, meter).await {
                Ok(answer) => answer,
                Err(Lost::File(failure)) => {
                    return Err(Refusal {
                        failure,
                        status: None,
                        is_final: false,
                    });
                }
                Err(Lost::Connection(why)) => {
                    let Some(pause) = pauses.next() else {
                        return Err(self.gone(artifact, &why));
                    };
                    meter.pause(artifact.name(), &why, pause).await;
                    continue;
                }
            };
            let Some(why) = answer.busy() else {
                return answer.judge(artifact, &self.address);
            };
            match patience::pause(&mut pauses, answer.after()) {
                Some(pause) => meter.pause(artifact.name(), &why, pause).await,
                None => return answer.judge(artifact, &self.address),
            }
        }
    }

    fn gone(&self, artifact: &Artifact, why: &str) -> Refusal {
        let path = artifact.path().display();
        let message = format!(
            "{path}: the index at {} does not answer: {why}",
            self.address
        );
        Refusal {
            failure: Failure::machine(message),
            status: None,
            is_final: true,
        }
    }

    async fn try_send(&self, artifact: &Artifact, meter: &mut Meter) -> Result<Answer, Lost> {
        let form = artifact.form();
        let (kind, length) = (form.content_type(), form.length());
        let (body, sent) = form.body().await.map_err(Lost::File)?;
        let mut request = self
            .client
            .post(self.address.clone())
            .header(CONTENT_TYPE, kind)
            .header(CONTENT_LENGTH, length)
            .header(
                ACCEPT,
                "application/problem+json, application/json;q=0.9, text/plain;q=0.8, */*;q=0.1",
            )
            .body(body);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        meter.begin(artifact.name(), length);
        let mut answer = std::pin::pin!(request.send());
        let mut ticks = tokio::time::interval(FRAME);
        let mut last = (sent.bytes(), Instant::now());
        let response = loop {
            tokio::select! {
                answer = &mut answer => {
                    meter.end();
                    // The address is told anyway, by who asks.
                    let why = |error: reqwest::Error| chain(&error.without_url());
                    let lost = |error| sent.lost(artifact.path(), artifact.size(), why(error));
                    break answer.map_err(lost)?;
                }
                _ = ticks.tick() => {
                    let bytes = sent.bytes();
                    meter.tick(bytes);
                    if bytes != last.0 {
                        last = (bytes, Instant::now());
                    } else if last.1.elapsed() > SILENCE {
                        let seconds = SILENCE.as_secs();
                        return Err(Lost::Connection(format!("nothing moved for {seconds} s")));
                    }
                }
            }
        };
        Ok(Answer::read(response).await)
    }
}

/// Whether an answer says that it would be another one later.
fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}
