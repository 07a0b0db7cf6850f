//! The index behind this one: a caching, hash-checking mirror of what the farm does not have.
//!
//! - [`policy`] says which names may be asked for there at all; nobody else decides that.
//! - [`pages`] asks for project pages, keeps them ([`kept`]) and asks again whether they changed.
//! - [`transfer`] fetches a file once for all who want it; they read behind the writer ([`spool`]).
//! - [`answer`] makes answers to clients of it.

mod answer;
mod client;
mod counts;
mod entry;
mod html;
mod kept;
mod page;
mod pages;
mod policy;
mod settings;
mod slots;
mod spool;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;

use chrono::Duration;
use http::{HeaderMap, StatusCode, header};
use wheelfarm_store::Store;
use wheelfarm_types::ProjectName;

pub(crate) use self::answer::file;
pub(crate) use self::counts::Counts;
use self::pages::{Found, Freshness, Pages};
pub use self::policy::{Origin, Pin, PinError, Pins};
pub use self::settings::{UpstreamLimits, UpstreamSettings};
use self::transfer::Transfers;
use crate::registry::Channel;
use crate::simple::listing::{Listed, Listing};
use crate::{App, Problem};

/// The index behind this one.
pub(crate) struct Upstream {
    settings: UpstreamSettings,
    store: Store,
    pages: Arc<Pages>,
    transfers: Arc<Transfers>,
    counts: Arc<Counts>,
}

/// A project's page of the index behind this one.
pub(crate) struct MirroredPage {
    /// The project.
    project: ProjectName,
    found: Found,
}

impl MirroredPage {
    /// Rises when the page changes.
    pub(crate) fn revision(&self) -> u64 {
        self.found.revision
    }

    /// How many files are on it.
    pub(crate) fn files(&self) -> usize {
        self.found.shown.files.len()
    }

    /// Whether nobody knows if it is still like this, since the index behind this one cannot be asked.
    pub(crate) fn is_stale(&self) -> bool {
        self.found.stale.is_some()
    }

    /// What it says, with files at our addresses.
    pub(crate) fn listing(&self) -> Listing {
        let page = &self.found.shown;
        let files = page.files.iter().map(|file| Listed {
            filename: file.filename.clone(),
            blob: file.sha256,
            hashes: file.hashes.clone(),
            size: file.size,
            uploaded: file.uploaded,
            requires_python: file.requires_python.clone(),
            metadata: file.metadata,
            yanked: file.yanked.clone(),
            provenance: file.provenance.clone(),
        });
        Listing {
            name: self.project.clone(),
            status: page.status.clone(),
            versions: page.versions.clone(),
            files: files.collect(),
        }
    }
}

impl Upstream {
    /// The index that `settings` name. Fails if they cannot hold.
    pub(crate) fn new(
        settings: UpstreamSettings,
        store: Store,
        counts: Arc<Counts>,
    ) -> Result<Self, Problem> {
        let client = Arc::new(client::Client::new(&settings)?);
        let duration = |time: std::time::Duration| {
            Duration::from_std(time).map_err(|_| Problem::bad_request("a time is too long"))
        };
        let pages = Pages::new(
            Arc::clone(&client),
            store.clone(),
            Arc::clone(&counts),
            duration(settings.fresh_for)?,
            settings.cool_down.map(duration).transpose()?,
        );
        Ok(Self {
            pages: Arc::new(pages),
            transfers: Arc::new(Transfers::new(client, store.clone(), Arc::clone(&counts))),
            store,
            counts,
            settings,
        })
    }

    fn origin(&self, app: &App, project: &ProjectName) -> Origin {
        let pins = &self.settings.pins;
        app.registry.read(|state| pins.origin(project, state))
    }

    /// Refuses an upload of a project to `channel` if its name is one of the index behind this one: it is pinned there,
    /// or clients were given files of it from there. Whoever could upload it would put their own files in the place of
    /// others', for everybody.
    pub(crate) async fn check_upload(
        &self,
        app: &App,
        channel: &Channel,
        project: &ProjectName,
    ) -> Result<(), Problem> {
        if !self.settings.channels.contains(channel) {
            return Ok(());
        }
        let title = match self.settings.pins.of(project) {
            Some(Origin::Local) => return Ok(()),
            Some(Origin::Upstream) => {
                format!("`{project}` is pinned to the index behind this one")
            }
            None => {
                let given = self.origin(app, project) == Origin::Upstream
                    && self
                        .pages
                        .has_given(project)
                        .await
                        .map_err(|failure| failure.problem(project.as_str()))?;
                if !given {
                    return Ok(());
                }
                format!("`{project}` was served from the index behind this one so far")
            }
        };
        Err(
            Problem::new(StatusCode::FORBIDDEN, title).with_detail(format!(
                "uploading it here would replace it for everybody; if that is meant, the operator of this server writes `local = [\"{project}\"]` below `[index.upstream]`"
            )),
        )
    }
}

/// The page of `project` on the index behind this one, if `channel` falls back to that and the name is not ours. That
/// there is none is also said by nothing; that it cannot be asked is an error, and no 404.
pub(crate) async fn page(
    app: &App,
    channel: &Channel,
    project: &ProjectName,
    asked: &HeaderMap,
) -> Result<Option<MirroredPage>, Problem> {
    let Some(upstream) = &app.upstream else {
        return Ok(None);
    };
    let falls_back = upstream.settings.channels.contains(channel);
    if !falls_back || upstream.origin(app, project) == Origin::Local {
        return Ok(None);
    }
    let freshness = if wants_news(asked) {
        Freshness::Now
    } else {
        Freshness::Usual
    };
    let found = upstream
        .pages
        .get(project, app.now(), freshness)
        .await
        .map_err(|failure| failure.problem(project.as_str()))?;
    Ok(found.map(|found| MirroredPage {
        project: project.clone(),
        found,
    }))
}

/// Whether a client says that it wants nothing kept: `uv --refresh`, a browser's reload. pip says `max-age=0` with
/// every request, and means its own cache.
fn wants_news(asked: &HeaderMap) -> bool {
    asked
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}
