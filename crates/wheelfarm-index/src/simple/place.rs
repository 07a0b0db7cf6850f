//! Which page an address means, and the address that is meant by another one.

use axum::extract::{FromRequestParts, RawPathParams, RawQuery};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use wheelfarm_types::ProjectName;

use crate::Problem;
use crate::registry::Channel;

/// What an address names.
pub(super) struct Place {
    /// The channel; the main one, if none is named.
    pub(super) channel: Channel,
    /// The project as it is spelled; empty in the address of a channel.
    pub(super) project: String,
    /// Whether the main channel is named: the address without its name is the one that is meant.
    pub(super) is_roundabout: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = RawPathParams::from_request_parts(parts, state).await;
        let named = named.map_err(|error| Problem::bad_request(error.body_text()))?;
        let mut place = Self {
            channel: Channel::main(),
            project: String::new(),
            is_roundabout: false,
        };
        for (part, text) in &named {
            if part == "channel" {
                place.channel = channel(text)?;
                place.is_roundabout = place.channel.is_main();
            } else {
                text.clone_into(&mut place.project);
            }
        }
        Ok(place)
    }
}

fn channel(text: &str) -> Result<Channel, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("there is no such channel"))
}

/// The project that is spelled so.
pub(super) fn name(text: &str) -> Result<ProjectName, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("no project can be called so"))
}

/// A relative address that stays what it is; the query goes along.
pub(super) fn redirect(address: &str, RawQuery(query): RawQuery) -> Response {
    let location = match query {
        Some(query) => format!("{address}?{query}"),
        None => address.to_owned(),
    };
    match HeaderValue::try_from(location) {
        Ok(location) => {
            let headers = [(header::LOCATION, location)];
            (StatusCode::MOVED_PERMANENTLY, headers).into_response()
        }
        Err(_) => {
            Problem::bad_request("the query has characters that no address has").into_response()
        }
    }
}
