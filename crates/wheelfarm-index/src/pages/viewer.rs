//! Who looks, at which channel, and what every page shows around its content.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::Deserialize;

use super::address::Address;
use super::assets::Assets;
use crate::auth::Caller;
use crate::registry::{Channel, Scope};
use crate::server::Visit;
use crate::{App, Problem};

/// What can be asked for in an address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    channel: Option<String>,
    q: String,
    page: Option<usize>,
}

/// Who looks and at what. It exists only for who may read [`Self::channel`].
pub(super) struct Viewer {
    /// The channel that is looked at.
    pub(super) channel: Channel,
    /// What is searched for.
    pub(super) query: String,
    /// Which page of many, from 1.
    pub(super) page: usize,
    /// The server's address.
    pub(super) address: Address,
    /// What is around every page.
    pub(super) frame: Frame,
    /// Who it is.
    pub(super) caller: Caller,
}

/// What is around the content of every page.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The way from the page to the top of the server, ending in a slash: `../../`. Relative, so that pages work
    /// behind a proxy that puts the server below a path.
    pub(super) root: String,
    /// The part that the page belongs to: `projects`, `builds`, `stale` or none.
    pub(super) part: &'static str,
    /// The query that keeps links in the channel: empty, or `?channel=staging`.
    pub(super) suffix: String,
    /// Channels that can be looked at; empty if there is only one.
    pub(super) channels: Vec<Choice>,
    /// Name of the channel that is looked at, if it is not the main one.
    pub(super) channel: Option<String>,
    /// What stands in the search box.
    pub(super) query: String,
    /// Addresses of style sheet, script and icon, below the root.
    pub(super) assets: &'static Assets,
}

/// A channel that can be chosen.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) suffix: String,
    pub(super) current: bool,
}

impl Frame {
    /// The frame of a page at `path` of which nothing is known.
    pub(super) fn bare(path: &str) -> Self {
        let depth = path.trim_start_matches('/').matches('/').count();
        Self {
            root: if depth == 0 {
                "./".to_owned()
            } else {
                "../".repeat(depth.min(64))
            },
            part: path
                .trim_start_matches('/')
                .split('/')
                .next()
                .map_or("", |part| match part {
                    "projects" => "projects",
                    "builds" => "builds",
                    "stale" => "stale",
                    _ => "",
                }),
            suffix: String::new(),
            channels: Vec::new(),
            channel: None,
            query: String::new(),
            assets: Assets::get(),
        }
    }
}

/// What a link has at its end to stay in `channel`.
pub(super) fn suffix(channel: &Channel) -> String {
    if channel.is_main() {
        String::new()
    } else {
        format!("?channel={channel}")
    }
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let visit = parts.extensions.get::<Arc<Visit>>();
        let caller = Caller::of(&parts.headers, visit, app).await;
        let Query(asked) = Query::<Asked>::try_from_uri(&parts.uri).map_err(|error| {
            Problem::bad_request(format!("the address cannot be read: {error}"))
        })?;
        let channel = match &asked.channel {
            Some(name) => name
                .parse()
                .map_err(|_| Problem::not_found("there is no such channel"))?,
            None => Channel::main(),
        };
        caller.may(app, Scope::Read, &channel)?;
        let mut known: Vec<Channel> = app.registry.read(|state| {
            state
                .channels()
                .map(|(channel, _)| channel.clone())
                .collect()
        });
        if !channel.is_main() && !known.contains(&channel) {
            return Err(Problem::not_found("there is no such channel"));
        }
        if !known.contains(&Channel::main()) {
            known.push(Channel::main());
        }
        known.retain(|channel| caller.may(app, Scope::Read, channel).is_ok());
        // The main one first, the others by name.
        known.sort_by_key(|channel| (!channel.is_main(), channel.clone()));
        let query: String = asked.q.trim().chars().take(100).collect();
        let mut frame = Frame::bare(parts.uri.path());
        if known.len() > 1 {
            frame.channels = known
                .iter()
                .map(|choice| Choice {
                    name: choice.to_string(),
                    suffix: suffix(choice),
                    current: *choice == channel,
                })
                .collect();
        }
        frame.suffix = suffix(&channel);
        frame.channel = (!channel.is_main()).then(|| channel.to_string());
        frame.query.clone_from(&query);
        Ok(Self {
            address: Address::of(parts),
            channel,
            query,
            page: asked.page.unwrap_or(1).max(1),
            frame,
            caller,
        })
    }
}
