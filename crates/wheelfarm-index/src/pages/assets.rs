//! Style sheet, script and icon. Their addresses change with their bytes, so browsers keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use wheelfarm_types::Digest;

use crate::Problem;

const STYLE: &str = include_str!("assets/wheelfarm.css");
const SCRIPT: &str = include_str!("assets/wheelfarm.js");
const ICON: &str = include_str!("assets/wheelfarm.svg");

/// Addresses below the root.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
}

impl Assets {
    pub(super) fn get() -> &'static Self {
        static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
            let address =
                |text: &str, name: &str| format!("assets/{}-{name}", Digest::of(text).short());
            Assets {
                style: address(STYLE, "wheelfarm.css"),
                script: address(SCRIPT, "wheelfarm.js"),
                icon: address(ICON, "wheelfarm.svg"),
            }
        });
        &ASSETS
    }
}

/// One of them.
pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, Problem> {
    let assets = Assets::get();
    let known = [
        (&assets.style, STYLE, "text/css; charset=utf-8"),
        (&assets.script, SCRIPT, "text/javascript; charset=utf-8"),
        (&assets.icon, ICON, "image/svg+xml"),
    ];
    let found = known
        .into_iter()
        .find(|(address, ..)| address.strip_prefix("assets/") == Some(&name));
    let (_, text, kind) = found.ok_or_else(|| Problem::not_found("there is no such asset"))?;
    Ok(with_headers(
        text,
        kind,
        "public, max-age=31536000, immutable",
    ))
}

/// Where browsers look by themselves.
pub(super) async fn icon() -> Response {
    with_headers(ICON, "image/svg+xml", "public, max-age=86400")
}

fn with_headers(text: &'static str, kind: &'static str, cache: &'static str) -> Response {
    let mut response = text.into_response();
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The icon is a document of its own when it is opened by itself.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
    ];
    for (name, value) in fixed {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
