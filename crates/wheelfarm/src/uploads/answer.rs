//! What an index says to an upload, in its own words.

use std::time::Duration;

use futures::StreamExt;
use hyper::ext::ReasonPhrase;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use wheelfarm_index::UPLOAD_OUTCOME;

use super::artifact::said;
use super::{Artifact, Refusal, Taken, is_busy, patience};
use crate::environment::clock;
use crate::exit::Failure;
use crate::units::harmless;

/// Bytes of a refusal that are read, and characters of it that are shown.
const LONGEST: usize = 1 << 20;
const SHOWN: usize = 4000;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The file cannot be read, or changes.
    File(Failure),
    /// The connection.
    Connection(String),
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    title: String,
    detail: Option<String>,
}

/// A problem ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), or what other servers call the same.
#[derive(Deserialize)]
struct Told {
    #[serde(alias = "message", alias = "error")]
    title: String,
    detail: Option<String>,
}

impl Answer {
    pub(super) async fn read(response: Response) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let phrase = response.extensions().get::<ReasonPhrase>();
        let phrase = phrase.map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned());
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        // A refusal that is cut off is one all the same.
        while let Some(Ok(piece)) = pieces.next().await {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST {
                break;
            }
        }
        let kind = headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let (title, detail) = words(status, phrase.as_deref(), kind, &body);
        Self {
            status,
            headers,
            title,
            detail,
        }
    }

    /// Why it is worth to ask again, if it is.
    pub(super) fn busy(&self) -> Option<String> {
        is_busy(self.status).then(|| format!("{} ({})", self.title, self.status.as_u16()))
    }

    /// After what time the index wants to be asked again.
    pub(super) fn after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        patience::parse(value, clock())
    }

    /// What came of the upload of `artifact` to `address`.
    pub(super) fn judge(self, artifact: &Artifact, address: &Url) -> Result<Taken, Refusal> {
        let status = self.status;
        if status.is_success() {
            let outcome = self.headers.get(UPLOAD_OUTCOME);
            return Ok(match outcome.map(HeaderValue::as_bytes) {
                Some(b"created") => Taken::New,
                Some(b"same") => Taken::Same,
                _ => Taken::Either,
            });
        }
        let hint = self.detail.clone().or_else(|| self.hint(address));
        let message = said(artifact.path(), &self.title);
        let failure = match status {
            _ if status.is_server_error() || is_busy(status) => Failure::machine(message),
            // About the request: the address, or the token.
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED => Failure::usage(message),
            _ if status.is_redirection() => Failure::usage(message),
            // About the file.
            _ => Failure::finding(message),
        };
        Err(Refusal {
            failure: failure.with_hint(hint),
            status: Some(status.as_u16()),
            is_final: matches!(
                status,
                StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
            ) || status.is_redirection()
                || is_busy(status),
        })
    }

    /// What to try, where the index does not say it.
    fn hint(&self, address: &Url) -> Option<String> {
        if self.status.is_redirection() {
            let to = self.headers.get(LOCATION)?.to_str().ok()?;
            let to = harmless(to);
            return Some(format!("the index is at {to} now: use that address"));
        }
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(
                "set WHEELFARM_INDEX_TOKEN to a token that may write there; of a wheelfarm server, \
                 `wheelfarm token create --scope write` makes one"
                    .to_owned(),
            ),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Some(format!(
                "uploads are not taken at {address}: a wheelfarm server takes them at `legacy/` below its address, \
                 which `--channel main` adds"
            )),
            _ => {
                let wait = self.after()?.as_secs();
                Some(format!("the index wants to be left alone for {wait} s"))
            }
        }
    }
}

/// The reason, and more of it, in what of an answer has one: a problem's members, the phrase of the status line as
/// PyPI and devpi have it, a text.
fn words(
    status: StatusCode,
    phrase: Option<&str>,
    kind: &str,
    body: &[u8],
) -> (String, Option<String>) {
    if let Ok(told) = serde_json::from_slice::<Told>(body) {
        let detail = told.detail.as_deref().map(shown);
        return (shown(&told.title), detail);
    }
    let own = phrase.filter(|phrase| Some(*phrase) != status.canonical_reason());
    let text = String::from_utf8_lossy(body);
    let text = if kind.starts_with("text/html") {
        without_tags(&text)
    } else {
        text.into_owned()
    };
    let text = Some(shown(&text)).filter(|text| !text.is_empty());
    match (own.map(shown), text) {
        (Some(own), text) => {
            // Most pages say the same once more.
            let more = text.filter(|text| !text.contains(&own));
            (own, more)
        }
        (None, Some(text)) => {
            let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
            let rest = Some(rest.to_owned()).filter(|rest| !rest.is_empty());
            (format!("{first} ({})", status.as_u16()), rest)
        }
        (None, None) => (format!("the index answers {status}"), None),
    }
}

/// A text of somebody else's, for a terminal: its lines, without what terminals act on.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(SHOWN).collect();
    let lines = text.lines().map(|line| harmless(line).trim().to_owned());
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// The words of a page.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let skipped = ["style", "script", "head"].into_iter().find_map(|name| {
            let inside = tag.strip_prefix(name)?;
            inside.split_once(&format!("</{name}>")).map(|it| it.1)
        });
        rest = skipped
            .or_else(|| tag.split_once('>').map(|it| it.1))
            .unwrap_or_default();
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(phrase: Option<&str>, kind: &str, body: &str) -> (String, Option<String>) {
        words(StatusCode::BAD_REQUEST, phrase, kind, body.as_bytes())
    }

    #[test]
    fn the_reason_is_found_wherever_a_server_puts_it() {
        let some = |text: &str| Some(text.to_owned());
        // Ours.
        let ours = r#"{"status":400,"title":"x.whl: it is bad","detail":"one\ntwo"}"#;
        assert_eq!(
            of(Some("it is bad"), "application/problem+json", ours),
            ("x.whl: it is bad".to_owned(), some("one\ntwo"))
        );
        // As PyPI says it.
        let page = "<html><head><title>t</title></head><body><h1>400 File already exists</h1></body></html>";
        assert_eq!(
            of(Some("File already exists"), "text/html", page),
            ("File already exists".to_owned(), None)
        );
        assert_eq!(
            of(Some("Bad Request"), "text/html; charset=UTF-8", page),
            ("400 File already exists (400)".to_owned(), None)
        );
        // A text and no phrase, as over HTTP/2; what a terminal would act on is not shown.
        assert_eq!(
            of(None, "text/plain", "no\u{1b}[2J\r\nmore\n"),
            ("no[2J (400)".to_owned(), some("more"))
        );
        assert_eq!(
            of(None, "", ""),
            ("the index answers 400 Bad Request".to_owned(), None)
        );
        for page in ["<", "<style", "<style>x", "a<b", "</head>"] {
            assert!(without_tags(page).len() <= page.len());
        }
    }
}
