//! Builds that ended, and what they printed.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::{Redirect, Response};
use wheelfarm_build::records::BuildOutcome;
use wheelfarm_types::ProjectName;

use super::paging::{Paging, encoded};
use super::records::{self, Ended};
use super::text::{self, Moment};
use super::viewer::{Frame, Viewer};
use super::{respond, running};
use crate::{App, Problem};

/// Builds on a page.
const PER_PAGE: usize = 50;
/// Logs longer than this are shown from where their last so many bytes begin.
const LOG: usize = 1 << 20;

#[derive(Template)]
#[template(path = "builds.html")]
struct Builds {
    frame: Frame,
    project: Option<String>,
    found: String,
    paging: Paging,
    rows: Vec<Row>,
    queue: Vec<running::Row>,
}

#[derive(Template)]
#[template(path = "build.html")]
struct Build {
    frame: Frame,
    row: Row,
    log: String,
    cut: bool,
    key: String,
    published: bool,
}

/// A build in a list.
struct Row {
    id: String,
    project: String,
    version: String,
    cell: String,
    failure: Option<String>,
    time: String,
    finished: Moment,
}

impl Row {
    fn of(build: &Ended, now: chrono::DateTime<chrono::Utc>) -> Self {
        let record = &build.record;
        Self {
            id: build.id.clone(),
            project: record.project.to_string(),
            version: record.version.to_string(),
            cell: record.cell.clone(),
            failure: match &record.outcome {
                BuildOutcome::Built => None,
                BuildOutcome::Failed { reason } => Some(reason.clone()),
            },
            time: text::duration(record.seconds),
            finished: Moment::of_seconds(record.finished, now),
        }
    }
}

pub(super) async fn page(State(app): State<Arc<App>>, viewer: Viewer) -> Result<Response, Problem> {
    let project: Option<ProjectName> = if viewer.query.is_empty() {
        None
    } else {
        viewer.query.parse().ok()
    };
    let unknown = project.is_none() && !viewer.query.is_empty();
    let skip = (viewer.page - 1).saturating_mul(PER_PAGE);
    let queue = if viewer.query.is_empty() && viewer.page == 1 {
        running::rows(&app, &viewer)
    } else {
        Vec::new()
    };
    records::may_see(&app, &viewer)?;
    let (found, total) = if unknown {
        (Vec::new(), 0)
    } else {
        records::builds(&app, project.as_ref(), skip, PER_PAGE).await?
    };
    let query = if viewer.query.is_empty() {
        String::new()
    } else {
        format!("q={}", encoded(&viewer.query))
    };
    let now = app.now();
    respond::page(&Builds {
        queue,
        project: (!viewer.query.is_empty()).then(|| viewer.query.clone()),
        found: text::count(total, "build", "builds"),
        paging: Paging::new(total, PER_PAGE, viewer.page, &query),
        rows: found
            .into_iter()
            .map(|build| Row::of(&build, now))
            .collect(),
        frame: viewer.frame,
    })
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    viewer: Viewer,
) -> Result<Response, Problem> {
    if let Some(page) = running::page(&app, &viewer, &id) {
        return page;
    }
    records::may_see(&app, &viewer)?;
    let build = records::build(&app, &id).await?;
    let build = build.ok_or_else(|| Problem::not_found("there is no such build"))?;
    let bytes = app.registry.store().get(&build.record.log).await?;
    let start = bytes.len().saturating_sub(LOG);
    let log = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default());
    let project = build.record.project.clone();
    respond::page(&Build {
        cut: start > 0,
        log: readable(&log),
        key: build.record.raw_key.to_string(),
        published: app
            .registry
            .read(|state| state.project(&viewer.channel, &project).is_some()),
        row: Row::of(&build, app.now()),
        frame: viewer.frame,
    })
}

/// A log without what moves a terminal's cursor or colours it.
fn readable(log: &str) -> String {
    let mut text = String::with_capacity(log.len());
    let mut rest = log.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                if rest.next_if_eq(&'[').is_some() {
                    // Parameters, then one letter (ECMA-48, 5.4).
                    while rest
                        .next_if(|c| !('\u{40}'..='\u{7e}').contains(c))
                        .is_some()
                    {}
                    rest.next();
                }
            }
            '\n' | '\t' => text.push(c),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

pub(super) async fn redirect(RawQuery(query): RawQuery) -> Redirect {
    respond::to("builds/", query.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_text() {
        assert_eq!(
            readable("\u{1b}[1;31merror\u{1b}[0m: <b>\r\n\tx\u{7}"),
            "error: <b>\n\tx"
        );
        assert_eq!(readable("end\u{1b}["), "end");
    }
}
