//! An installer asks for a project that the farm can build and has no wheel of: it is built while the installer waits.
//!
//! pip ends a request that is silent for 15 seconds, uv one of 30, and both ask again when they are told 503: so a
//! request waits for less than that, and whoever is told to come again finds the build further on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use wheelfarm_types::ProjectName;

use super::api::{serving, wheels};
use super::queue::{Builds, StartError, Started};
use super::request::BuildRequest;
use crate::registry::Channel;
use crate::{App, Problem};

/// How long a request is kept waiting.
const WAIT: Duration = Duration::from_secs(10);
/// When to come again, in seconds. pip does so five times.
const AGAIN: &str = "20";
/// For how long a build that gave no wheel for a cell is not tried again.
const REST: Duration = Duration::from_secs(600);

/// Projects that were built on demand a short while ago, by channel, whatever came of it.
#[derive(Debug, Default)]
pub(super) struct Resting(Mutex<HashMap<(Channel, ProjectName), Instant>>);

impl Resting {
    fn rests(&self, channel: &Channel, project: &ProjectName) -> bool {
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, since| since.elapsed() < REST);
        resting.contains_key(&(channel.clone(), project.clone()))
    }

    fn lay(&self, channel: &Channel, project: &ProjectName) {
        let key = (channel.clone(), project.clone());
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        resting.insert(key, Instant::now());
    }
}

/// Before the page of `project` is answered: builds it for the cells that it has no wheel for, if it is one of those
/// that are built on demand. Returns what to answer instead of the page while that lasts.
pub(crate) async fn on_demand(
    app: &Arc<App>,
    channel: &Channel,
    project: &ProjectName,
) -> Option<Response> {
    let builds = app.builds.as_ref()?;
    let requirement = builds.settings.on_demand.get(project)?;
    // Whoever asks must not be able to make channels.
    if !channel.is_main() && !app.settings.channels.contains_key(channel) {
        return None;
    }
    if builds.resting.rests(channel, project) {
        return None;
    }
    let files = wheels(app, channel, project);
    let cells = match builds.cells().await {
        Ok(cells) => cells,
        Err(failure) => {
            tracing::warn!(%project, %failure, "cannot be built on demand");
            return None;
        }
    };
    let missing: Vec<String> = cells
        .into_iter()
        .filter(|cell| serving(cell, &files).is_empty())
        .collect();
    if missing.is_empty() {
        return None;
    }
    let request = BuildRequest {
        requirements: vec![requirement.clone()],
        cells: missing,
        channel: channel.clone(),
        ..BuildRequest::default()
    };
    wait_for(builds, app, request, project).await
}

async fn wait_for(
    builds: &Arc<Builds>,
    app: &Arc<App>,
    request: BuildRequest,
    project: &ProjectName,
) -> Option<Response> {
    let channel = request.channel.clone();
    let id = match builds.start(app, request, None) {
        Ok(Started { build, .. }) => build.id,
        Err(error @ (StartError::Full(_) | StartError::Stopping)) => {
            return Some(come_again(format!("{project} is to be built, but {error}")));
        }
        Err(error) => {
            tracing::warn!(%project, %error, "cannot be built on demand");
            return None;
        }
    };
    let ticket = builds.ticket(&id)?;
    if tokio::time::timeout(WAIT, ticket.feed.ended())
        .await
        .is_ok()
    {
        builds.resting.lay(&channel, project);
        return None;
    }
    Some(come_again(format!(
        "{project} is being built: come again (build {id})"
    )))
}

fn come_again(title: String) -> Response {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, title);
    ([(header::RETRY_AFTER, AGAIN)], problem).into_response()
}
