//! Requests to the index behind this one.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use http::{HeaderMap, StatusCode, header};
use reqwest::{Response, Url};
use wheelfarm_resolve::{IndexSettings, chain};
use wheelfarm_types::ProjectName;

use super::page::MirroredProject;
use super::{UpstreamLimits, UpstreamSettings};
use crate::Problem;

/// What forms of a page are wanted: JSON, and HTML where there is nothing else.
const PAGE_FORMS: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/// A failure that came so soon is worth another try while the client waits.
const QUICK: Duration = Duration::from_secs(1);

/// Asks the index behind this one.
pub(super) struct Client {
    http: reqwest::Client,
    access: IndexSettings,
    /// Without credentials, with a slash at the end.
    index: Url,
    pub(super) limits: UpstreamLimits,
}

/// Why the index behind this one gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It cannot be reached, is too slow, or is out of order: it is worth another try.
    Down(String),
    /// It does not have it.
    Absent,
    /// What it gave cannot be used.
    Bad(String),
    /// This server failed.
    Own(Problem),
}

/// What it says of a project.
pub(super) enum Answer {
    /// As before.
    Same,
    /// It has none of that name.
    Absent,
    /// This.
    Page {
        page: MirroredProject,
        etag: Option<String>,
    },
}

impl Failure {
    /// What a client is told about `what`. Not 404 when the index behind this one is down: a resolver would take
    /// another version, or another project's, where it had better come again.
    pub(super) fn problem(self, what: &str) -> Problem {
        match self {
            Self::Down(reason) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the index behind this one does not give `{what}` now"),
            )
            .with_detail(reason)
            .with_retry_after(5),
            Self::Absent => Problem::not_found(format!("there is no `{what}`")),
            Self::Bad(reason) => Problem::new(
                StatusCode::BAD_GATEWAY,
                format!("the index behind this one gave something wrong for `{what}`"),
            )
            .with_detail(reason),
            Self::Own(problem) => problem,
        }
    }
}

impl Client {
    pub(super) fn new(settings: &UpstreamSettings) -> Result<Self, Problem> {
        let wrong = |reason: String| {
            Problem::bad_request("the upstream index cannot be used").with_detail(reason)
        };
        let mut index = Url::parse(&settings.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| wrong("its address is none of http or https".to_owned()))?;
        index.set_query(None);
        index.set_fragment(None);
        // An address with a host can have no name, too.
        index.set_username("").ok();
        index.set_password(None).ok();
        if !index.path().ends_with('/') {
            let path = format!("{}/", index.path());
            index.set_path(&path);
        }
        let http = settings
            .access
            .client(settings.limits.connect, settings.limits.pause)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            http,
            access: settings.access.clone(),
            index,
            limits: settings.limits.clone(),
        })
    }

    /// The address of the index, without credentials.
    pub(super) fn index(&self) -> &str {
        self.index.as_str()
    }

    /// Asks for a project; with `etag` only for changes since.
    pub(super) async fn page(
        &self,
        project: &ProjectName,
        etag: Option<&str>,
    ) -> Result<Answer, Failure> {
        let url = self
            .index
            .join(&format!("{project}/"))
            .map_err(|error| Failure::Bad(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, http::HeaderValue::from_static(PAGE_FORMS));
        headers.insert(
            header::ACCEPT_ENCODING,
            http::HeaderValue::from_static("gzip"),
        );
        if let Some(etag) = etag.and_then(|etag| etag.parse().ok()) {
            headers.insert(header::IF_NONE_MATCH, etag);
        }
        let began = tokio::time::Instant::now();
        let response = match self.get(url.clone(), headers.clone()).await {
            // A connection that was kept too long, a front end that hands over: once more, at once. But who waited
            // long does not wait twice.
            Err(Failure::Down(_)) if began.elapsed() < QUICK => self.get(url, headers).await,
            other => other,
        };
        let response = match response {
            Ok(response) if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() => {
                return Ok(Answer::Same);
            }
            Err(Failure::Absent) => return Ok(Answer::Absent),
            other => other?,
        };
        let base = response.url().clone();
        let header = |name| response.headers().get(name)?.to_str().ok();
        let etag = header(header::ETAG).map(str::to_owned);
        let kind = header(header::CONTENT_TYPE).unwrap_or_default();
        let is_json = kind.contains("json");
        let is_gzip = is_encoded(response.headers());
        let bytes = self.body(response).await?;
        let bytes = if is_gzip {
            gunzipped(&bytes, self.limits.page)
                .ok_or_else(|| Failure::Bad("its page is not gzip, or too large".to_owned()))?
        } else {
            bytes
        };
        let page = if is_json {
            MirroredProject::from_json(&bytes, project, &base)
                .ok_or_else(|| Failure::Bad("its page is no JSON of a project".to_owned()))?
        } else {
            MirroredProject::from_html(&bytes, project, &base)
        };
        Ok(Answer::Page { page, etag })
    }

    /// The bytes of an answer, if they are not too many.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Failure::Down(chain(&error)))?
        {
            if bytes.len() + chunk.len() > self.limits.page {
                let limit = self.limits.page;
                return Err(Failure::Bad(format!(
                    "its page has more than {limit} bytes"
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Opens the file at `url`, from byte `from` on if the server can do that.
    pub(super) async fn open(&self, url: &str, from: u64) -> Result<Response, Failure> {
        let url = Url::parse(url).map_err(|error| Failure::Bad(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT_ENCODING,
            http::HeaderValue::from_static("identity"),
        );
        if from > 0
            && let Ok(range) = format!("bytes={from}-").parse()
        {
            headers.insert(header::RANGE, range);
        }
        self.get(url, headers).await
    }

    /// An answer that begins in time, and is a success or `304`.
    async fn get(&self, url: Url, headers: HeaderMap) -> Result<Response, Failure> {
        let credential = self.access.credential_for(&url);
        let mut request = self.http.get(url.clone()).headers(headers);
        if let Some(credential) = credential {
            request = request.basic_auth(&credential.user, Some(&credential.password));
        }
        let answer = tokio::time::timeout(self.limits.answer, request.send()).await;
        let host = url.host_str().unwrap_or_default();
        let Ok(answer) = answer else {
            let seconds = self.limits.answer.as_secs();
            return Err(Failure::Down(format!(
                "{host} did not answer within {seconds} s"
            )));
        };
        let response = answer.map_err(|error| Failure::Down(chain(&error)))?;
        let status = response.status();
        match status.as_u16() {
            200..=299 | 304 => Ok(response),
            404 | 410 => Err(Failure::Absent),
            401 | 403 | 407 => Err(Failure::Down(format!(
                "{host} answers {status}; credentials come from the address of the index or a netrc file"
            ))),
            _ => Err(Failure::Down(format!("{host} answers {status}"))),
        }
    }
}

/// Whether the bytes of an answer are not those of the file: compressed on the way.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value != "identity")
}

fn gunzipped(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let most = u64::try_from(limit).ok()?.checked_add(1)?;
    GzDecoder::new(bytes)
        .take(most)
        .read_to_end(&mut plain)
        .ok()?;
    (plain.len() <= limit).then_some(plain)
}
