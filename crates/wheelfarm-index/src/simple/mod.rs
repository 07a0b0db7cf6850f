//! The simple repository API, in HTML and JSON.
//!
//! A page is made once for each revision of a project and each form in which somebody wants it, and kept
//! ([`cache`]); then a request is a look at the revision, one at the kept pages, and a copy of a pointer.

mod cache;
mod html;
mod json;
pub(crate) mod listing;
mod negotiation;
mod page;
mod place;

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use wheelfarm_types::ProjectName;

use self::cache::Key;
pub(crate) use self::cache::PageCache;
use self::listing::Listing;
use self::negotiation::{Coding, Form};
use self::page::Page;
use self::place::{Place, name, redirect};
use crate::auth::Caller;
use crate::registry::{Channel, Scope};
use crate::server::Visit;
use crate::upstream::MirroredPage;
use crate::{App, Problem, builds, upstream};

/// Making a page with more files or projects than this is no work for a thread that answers requests.
const BIG: usize = 500;
/// Nor is compressing a page of more bytes.
const BIG_BYTES: usize = 64 << 10;

/// The addresses of this part. Those without the last slash, and those with another spelling of a name, lead to the
/// ones that are meant.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/simple", get(root_unfinished))
        .route("/simple/", get(root))
        .route("/simple/{project}", get(project_unfinished))
        .route("/simple/{project}/", get(project))
        .route("/{channel}/simple", get(root_unfinished))
        .route("/{channel}/simple/", get(root))
        .route("/{channel}/simple/{project}", get(project_unfinished))
        .route("/{channel}/simple/{project}/", get(project))
}

/// Answers a request for a project's page in the main channel whose address is spelled as it should be; none for all
/// other requests. Like [files](crate::files::direct), these are too many for a router that takes addresses apart.
pub(crate) async fn direct(
    app: &Arc<App>,
    visit: &Arc<Visit>,
    parts: &mut Parts,
) -> Option<Response> {
    let project = parts
        .uri
        .path()
        .strip_prefix("/simple/")?
        .strip_suffix('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if parts.method != Method::GET || project.is_empty() || !project.bytes().all(plain) {
        return None;
    }
    let caller = Caller::of(&parts.headers, Some(visit), app).await;
    let asked = Asked {
        channel: Channel::main(),
        query: RawQuery(parts.uri.query().map(str::to_owned)),
        headers: std::mem::take(&mut parts.headers),
    };
    let page = asked.project(app, &caller, project).await;
    Some(page.into_response())
}

async fn root(
    State(app): State<Arc<App>>,
    caller: Caller,
    place: Place,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if place.is_roundabout {
        return Ok(redirect("../../simple/", query));
    }
    let asked = Asked {
        channel: place.channel,
        query,
        headers,
    };
    asked.root(&app, &caller).await
}

async fn root_unfinished(_known: Place, query: RawQuery) -> Response {
    redirect("simple/", query)
}

async fn project(
    State(app): State<Arc<App>>,
    caller: Caller,
    place: Place,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if place.is_roundabout {
        let address = format!("../../../simple/{}/", name(&place.project)?);
        return Ok(redirect(&address, query));
    }
    let asked = Asked {
        channel: place.channel,
        query,
        headers,
    };
    asked.project(&app, &caller, &place.project).await
}

async fn project_unfinished(place: Place, query: RawQuery) -> Result<Response, Problem> {
    Ok(redirect(&format!("{}/", name(&place.project)?), query))
}

/// A request for a page.
struct Asked {
    channel: Channel,
    query: RawQuery,
    headers: HeaderMap,
}

impl Asked {
    async fn root(self, app: &Arc<App>, caller: &Caller) -> Result<Response, Problem> {
        caller.may(app, Scope::Read, &self.channel)?;
        let form = self.form()?;
        let found = app.registry.read(|state| {
            let found = state.channel(&self.channel);
            found.map(|found| (found.revision, found.projects.len()))
        });
        // A channel that is set up, and empty so far, is a channel.
        let known = self.channel.is_main() || app.settings.channels.contains_key(&self.channel);
        let (revision, projects) = match found {
            Some(found) => found,
            None if known => (0, 0),
            None => return Err(no_channel(&self.channel)),
        };
        let key = self.key(None, form);
        let channel = self.channel.clone();
        let reading = app.clone();
        let make = move || {
            let names: Vec<ProjectName> = reading.registry.read(|state| {
                let projects = state.channel(&channel).map(|channel| &channel.projects);
                projects
                    .into_iter()
                    .flat_map(|it| it.keys().cloned())
                    .collect()
            });
            if form.is_json() {
                Ok(json::root(&names)?)
            } else {
                Ok(html::root(&names).into_bytes())
            }
        };
        let page = obtain(app, key, revision, projects, make).await?;
        Ok(page.answer(form, &self.headers, caller.outbox()))
    }

    async fn project(
        self,
        app: &Arc<App>,
        caller: &Caller,
        project: &str,
    ) -> Result<Response, Problem> {
        caller.may(app, Scope::Read, &self.channel)?;
        let name = name(project)?;
        if name.as_str() != project {
            return Ok(redirect(&format!("../{name}/"), self.query));
        }
        let form = self.form()?;
        if let Some(wait) = builds::on_demand(app, &self.channel, &name).await {
            return Ok(wait);
        }
        if let Some(page) = upstream::page(app, &self.channel, &name, &self.headers).await? {
            return self.mirrored(app, caller, name, page, form).await;
        }
        let look = |state: &crate::registry::State| state.project(&self.channel, &name).cloned();
        let Some(found) = app.registry.read(look) else {
            return Err(no_project(&self.channel, &name));
        };
        let (revision, files) = (found.revision, found.files.len());
        let key = self.key(Some(name.clone()), form);
        let up = up(&self.channel);
        let make = move || project_page(&Listing::of(&name, &found), form, up);
        let page = obtain(app, key, revision, files, make).await?;
        Ok(page.answer(form, &self.headers, caller.outbox()))
    }

    /// The page of a project of the index behind this one.
    async fn mirrored(
        self,
        app: &Arc<App>,
        caller: &Caller,
        name: ProjectName,
        page: MirroredPage,
        form: Form,
    ) -> Result<Response, Problem> {
        let mut key = self.key(Some(name), form);
        key.mirrored = true;
        let (revision, files, stale) = (page.revision(), page.files(), page.is_stale());
        let up = up(&self.channel);
        let make = move || project_page(&page.listing(), form, up);
        let page = obtain(app, key, revision, files, make).await?;
        let mut response = page.answer(form, &self.headers, caller.outbox());
        if stale {
            // RFC 9111 has no use for this header any more; people who look why something is old have.
            let warning = HeaderValue::from_static("110 - \"Response is Stale\"");
            response.headers_mut().insert(header::WARNING, warning);
        }
        Ok(response)
    }

    fn form(&self) -> Result<Form, Problem> {
        Form::negotiate(self.query.0.as_deref(), &self.headers)
    }

    fn key(&self, project: Option<ProjectName>, form: Form) -> Key {
        Key {
            channel: self.channel.clone(),
            project,
            mirrored: false,
            json: form.is_json(),
            coding: Coding::negotiate(&self.headers),
        }
    }
}

/// The page that `key` names: kept, or made now. `things` is how many lines it will have.
async fn obtain(
    app: &Arc<App>,
    key: Key,
    revision: u64,
    things: usize,
    make: impl FnOnce() -> serde_json::Result<Vec<u8>> + Send + 'static,
) -> Result<Arc<Page>, Problem> {
    if let Some(page) = app.pages.get(&key, revision) {
        return Ok(page);
    }
    let _turn = if things > BIG {
        let turn = app.pages.making.lock().await;
        // Somebody else may have made it meanwhile.
        if let Some(page) = app.pages.get(&key, revision) {
            return Ok(page);
        }
        Some(turn)
    } else {
        None
    };
    let private = app.settings.channel(&key.channel).private;
    let plain_key = Key {
        coding: Coding::Identity,
        ..key.clone()
    };
    let plain = if let Some(page) = app.pages.get(&plain_key, revision) {
        page
    } else {
        let made = aside(things > BIG, make).await?;
        let body = made.map_err(|error| {
            tracing::error!(%error, "a page could not be written");
            broken()
        })?;
        let page = Arc::new(Page::new(body, private));
        app.pages.put(plain_key, revision, page.clone());
        page
    };
    if key.coding == Coding::Identity {
        return Ok(plain);
    }
    let (source, coding) = (plain.clone(), key.coding);
    let coded = aside(plain.len() > BIG_BYTES, move || {
        source.recoded(coding, private)
    })
    .await?;
    // What does not get smaller is kept as it is under this coding too.
    let page = coded.map_or(plain, Arc::new);
    app.pages.put(key, revision, page.clone());
    Ok(page)
}

/// Runs `work`, which takes long if `long`, where it keeps no request waiting.
async fn aside<T: Send + 'static>(
    long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if !long {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a page could not be made");
        broken()
    })
}

fn project_page(listing: &Listing, form: Form, up: &str) -> serde_json::Result<Vec<u8>> {
    if form.is_json() {
        json::project(listing, up)
    } else {
        Ok(html::project(listing, up).into_bytes())
    }
}

/// What leads from a project's page to the server's root, whatever a proxy puts in front of it.
fn up(channel: &Channel) -> &'static str {
    if channel.is_main() {
        "../../"
    } else {
        "../../../"
    }
}

fn no_channel(channel: &Channel) -> Problem {
    Problem::not_found(format!("there is no channel `{channel}`"))
}

fn no_project(channel: &Channel, name: &ProjectName) -> Problem {
    Problem::not_found(format!("`{name}` is not in the channel `{channel}`"))
}

fn broken() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the page could not be made",
    )
}

#[cfg(test)]
mod tests;
