//! A wheel's METADATA as pages show it. Every value is somebody's text.

use wheelfarm_store::Store;
use wheelfarm_wheel::Headers;

use crate::registry::PublishedFile;

/// METADATA larger than this is not shown, in bytes.
const LIMIT: u64 = 4 << 20;
/// Most values of one field.
const MOST: usize = 200;

/// What is shown of it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Addresses that may be followed.
    pub(super) links: Vec<Link>,
    pub(super) license: Option<String>,
    pub(super) author: Option<String>,
    pub(super) requires: Vec<String>,
    pub(super) extras: Vec<String>,
    pub(super) classifiers: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) label: String,
    pub(super) address: String,
}

/// The facts of a published wheel; none if it has no METADATA that can be shown.
pub(super) async fn facts(store: &Store, file: &PublishedFile) -> Facts {
    let Some(metadata) = file
        .metadata
        .as_ref()
        .filter(|metadata| metadata.size <= LIMIT)
    else {
        return Facts::default();
    };
    match store.get(&metadata.blob).await {
        Ok(bytes) => Facts::of(&String::from_utf8_lossy(&bytes)),
        Err(error) => {
            tracing::warn!(%error, file = file.filename, "METADATA could not be read for a page");
            Facts::default()
        }
    }
}

impl Facts {
    pub(super) fn of(text: &str) -> Self {
        let Ok(headers) = Headers::parse(text) else {
            return Self::default();
        };
        let all =
            |name: &str| -> Vec<String> { headers.get_all(name).take(MOST).map(short).collect() };
        let one = |name: &str| {
            headers
                .get(name)
                .filter(|value| !value.is_empty() && *value != "UNKNOWN")
                .map(short)
        };
        let mut links: Vec<Link> = headers
            .get_all("Project-URL")
            .take(MOST)
            .filter_map(|value| value.split_once(','))
            .filter_map(|(label, address)| link(label, address))
            .collect();
        if let Some(home) = headers
            .get("Home-page")
            .and_then(|address| link("Homepage", address))
            && links.iter().all(|known| known.address != home.address)
        {
            links.insert(0, home);
        }
        Self {
            links,
            // The old field often holds the whole text: its first line says which.
            license: one("License-Expression").or_else(|| {
                one("License").map(|text| text.lines().next().unwrap_or_default().to_owned())
            }),
            author: one("Author").or_else(|| one("Author-email")),
            requires: all("Requires-Dist"),
            extras: all("Provides-Extra"),
            classifiers: all("Classifier"),
        }
    }
}

/// A link, if it leads to the web: `javascript:` and whatever else a browser would do is not followed.
fn link(label: &str, address: &str) -> Option<Link> {
    let address = address.trim();
    let lower = address.get(..8).unwrap_or(address).to_ascii_lowercase();
    let web = lower.starts_with("https://") || lower.starts_with("http://");
    let plain = address.len() <= 1000
        && address
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control());
    (web && plain).then(|| Link {
        label: short(label.trim()),
        address: address.to_owned(),
    })
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_links() {
        let facts = Facts::of(
            "Metadata-Version: 2.4\nName: x\nVersion: 1\nHome-page: HTTPS://example.org/\n\
             Project-URL: Source, https://example.org/src\nProject-URL: Docs, javascript:alert(1)\n\
             Project-URL: Data, data:text/html,x\nProject-URL: Lie, \tjavascript:alert(1)//https://x\n\
             Project-URL: no comma\nLicense: MIT License\n  and all its text\nAuthor: <b>\nRequires-Dist: y>=1\n",
        );
        let labels: Vec<_> = facts.links.iter().map(|link| link.label.as_str()).collect();
        assert_eq!(labels, ["Homepage", "Source"]);
        assert_eq!(facts.license.as_deref(), Some("MIT License"));
        assert_eq!(facts.requires, ["y>=1"]);
    }

    #[test]
    fn what_is_no_metadata_has_no_facts() {
        assert!(Facts::of("no headers here").links.is_empty());
    }
}
