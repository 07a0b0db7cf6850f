//! Asking for a build on a project's page: what the form offers, and what is made of it when it comes.
//!
//! A browser sends a token that it knows along with every request to this server, whichever page made it. So a form is
//! only taken from a page of this server: browsers say with `Sec-Fetch-Site` and `Origin` where one comes from, and one
//! that says neither is none that has a form.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use wheelfarm_resolve::inputs::percent_decoded;
use wheelfarm_types::{ProjectName, Requirement, Version};

use super::listing::Spelled;
use super::project;
use super::viewer::{Viewer, suffix};
use crate::builds::{Started, not_started, serving, wheels};
use crate::registry::Scope;
use crate::{App, BuildRequest, Builds, Problem};

/// How long the answer of an engine is believed.
const FRESH: Duration = Duration::from_secs(30);
/// Bytes of a form: a version and some hundred cells.
const LONGEST: usize = 64 << 10;

/// What a viewer can ask the farm to build of a project.
pub(super) struct Offer {
    /// The versions that can be chosen; the newest of the index without any.
    pub(super) versions: Vec<String>,
    pub(super) cells: Vec<Choice>,
    /// Why none can be asked for now.
    pub(super) trouble: Option<String>,
}

/// A cell that can be built for.
pub(super) struct Choice {
    pub(super) name: String,
    /// A wheel that serves it already.
    pub(super) served_by: Option<String>,
}

/// The cells that can be built for, or why there are none, as they were a short while ago: to know it now, an engine has
/// to be asked.
#[derive(Default)]
pub(super) struct Remembered(tokio::sync::Mutex<Option<(Instant, Cells)>>);

type Cells = Result<Vec<String>, String>;

impl Remembered {
    async fn of(&self, builds: &Builds) -> Cells {
        let mut known = self.0.lock().await;
        if let Some((asked, cells)) = known.as_ref()
            && asked.elapsed() < FRESH
        {
            return cells.clone();
        }
        let cells = builds.cells().await.map_err(|failure| failure.message);
        *known = Some((Instant::now(), cells.clone()));
        cells
    }
}

/// What the form on the page of `name` offers; none, if this server does not build.
pub(super) async fn offer(
    app: &App,
    viewer: &Viewer,
    name: &ProjectName,
    versions: &[Spelled],
) -> Option<Offer> {
    let builds = app.builds.as_ref()?;
    let files = wheels(app, &viewer.channel, name);
    let (cells, trouble) = match app.desk.cells.of(builds).await {
        Ok(cells) => (cells, None),
        Err(message) => (Vec::new(), Some(message)),
    };
    let choice = |cell: String| Choice {
        served_by: serving(&cell, &files).pop(),
        name: cell,
    };
    Some(Offer {
        versions: versions
            .iter()
            .filter(|version| version.parsed.is_some())
            .map(|version| version.text.clone())
            .collect(),
        cells: cells.into_iter().map(choice).collect(),
        trouble,
    })
}

/// Begins the build that a form asks for, and leads to its page.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Path(asked): Path<String>,
    viewer: Viewer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let refuse = IntoResponse::into_response;
    let name = project::name(&asked).map_err(refuse)?;
    from_here(&headers, viewer.address.authority()).map_err(refuse)?;
    let builds = app.builds.as_ref().ok_or_else(|| {
        let problem = Problem::not_found("this server does not build");
        problem.into_response()
    })?;
    // A browser that is told so asks for a token, and sends the form again with it.
    let Some(token) = &viewer.caller.token else {
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "a token that allows builds is needed",
        );
        let detail = "The user name is __token__ and the password is the token.";
        return Err(refuse(problem.with_detail(detail)));
    };
    let may = viewer.caller.may(&app, Scope::Build, &viewer.channel);
    may.map_err(refuse)?;
    let body = axum::body::to_bytes(body, LONGEST).await.map_err(|_| {
        let title = format!("the form has more than {LONGEST} bytes, or was cut off");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title).into_response()
    })?;
    let request = BuildRequest {
        channel: viewer.channel.clone(),
        ..read(&name, &body).map_err(refuse)?
    };
    match builds.start(&app, request, Some(token)) {
        Ok(Started { build, .. }) => {
            let page = format!("../../builds/{}{}", build.id, suffix(&viewer.channel));
            Ok(Redirect::to(&page).into_response())
        }
        Err(error) => Err(not_started(&error)),
    }
}

/// What a form asks for: `version`, empty for the newest; `cell`, as often as there are some.
fn read(name: &ProjectName, form: &[u8]) -> Result<BuildRequest, Problem> {
    let mut version = String::new();
    let mut cells = Vec::new();
    let form = String::from_utf8_lossy(form);
    for pair in form.split('&').filter(|pair| !pair.is_empty()) {
        let (field, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decoded(&value.replace('+', " "));
        match field {
            "version" => value.trim().clone_into(&mut version),
            "cell" => cells.push(value),
            _ => {
                let title = "the form has a field that it was not given";
                return Err(Problem::bad_request(title));
            }
        }
    }
    let text = if version.is_empty() {
        name.to_string()
    } else {
        let parsed: Version = version
            .parse()
            .map_err(|_| Problem::bad_request("what stands in the form for a version is none"))?;
        format!("{name}=={parsed}")
    };
    let requirement: Requirement = text
        .parse()
        .map_err(|error| Problem::bad_request(format!("{error}")))?;
    Ok(BuildRequest {
        requirements: vec![requirement],
        cells,
        ..BuildRequest::default()
    })
}

/// Whether a form comes from a page of this server, which the browser knows as `authority`. Where a proxy says as what, it
/// is the proxy that is asked: no form sets headers.
fn from_here(headers: &HeaderMap, authority: &str) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let elsewhere = || {
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "the form was not sent by a page of this server",
        );
        problem.with_detail(
            "Programs ask for builds with `POST /api/builds`. A proxy has to hand on the `Host` that the browser asked for, or say it in `X-Forwarded-Host`.",
        )
    };
    // Browsers set it, and no page can (W3C, Fetch Metadata Request Headers).
    match text("sec-fetch-site") {
        Some("same-origin") => return Ok(()),
        Some(_) => return Err(elsewhere()),
        None => {}
    }
    let host = |origin: &str| -> Option<String> {
        Some(origin.parse::<Uri>().ok()?.authority()?.as_str().to_owned())
    };
    // Sent with every POST (RFC 6454, section 7.3); the other one over TLS alone.
    match text(header::ORIGIN.as_str()).and_then(host) {
        Some(origin) if origin.eq_ignore_ascii_case(authority) => Ok(()),
        _ => Err(elsewhere()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| {
                let name: http::HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            })
            .collect()
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        let here = "wheels.example:8080";
        for good in [
            vec![("sec-fetch-site", "same-origin")],
            vec![("origin", "http://wheels.example:8080")],
            // What the address is to the browser, a proxy knows.
            vec![("origin", "https://WHEELS.example:8080")],
            vec![("sec-fetch-site", "same-origin"), ("origin", "null")],
        ] {
            assert_eq!(from_here(&headers(&good), here), Ok(()), "{good:?}");
        }
        for bad in [
            vec![],
            vec![("origin", "null")],
            vec![("origin", "http://evil.example")],
            vec![("origin", "http://wheels.example")],
            vec![("origin", "http://wheels.example:8080.evil.example")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "none")],
            vec![
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://wheels.example:8080"),
            ],
        ] {
            let problem = from_here(&headers(&bad), here).unwrap_err();
            assert_eq!(problem.status, 403, "{bad:?}");
        }
    }

    #[test]
    fn a_form_is_a_request() {
        let name: ProjectName = "demo".parse().unwrap();
        let newest = read(&name, b"version=&cell=a&cell=b").unwrap();
        assert_eq!(newest.requirements, ["demo".parse().unwrap()]);
        assert_eq!(newest.cells, ["a", "b"]);
        let one = read(&name, b"version=1.0%2Blocal").unwrap();
        assert_eq!(one.requirements, ["demo==1.0+local".parse().unwrap()]);
        assert!(one.cells.is_empty());
        for bad in ["version=1.0 ; x", "version=@ http://x", "other=1"] {
            assert_eq!(
                read(&name, bad.as_bytes()).unwrap_err().status,
                400,
                "{bad}"
            );
        }
    }
}
