//! Pages as JSON ([PEP 691](https://peps.python.org/pep-0691/)), version 1.4.

use std::collections::BTreeMap;

use serde::Serialize;
use wheelfarm_types::{Digest, ProjectName};

use crate::registry::ProjectStatus;
use crate::simple::html::API_VERSION;
use crate::simple::listing::{Listed, Listing};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    api_version: &'static str,
}

const META: Meta = Meta {
    api_version: API_VERSION,
};

#[derive(Serialize)]
struct Root<'a> {
    meta: Meta,
    projects: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a ProjectName,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Page<'a> {
    meta: Meta,
    name: &'a ProjectName,
    /// [PEP 792](https://peps.python.org/pep-0792/): beside `meta`, not in it.
    project_status: &'a ProjectStatus,
    versions: &'a [String],
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct Sha256<'a> {
    sha256: &'a Digest,
}

#[derive(Serialize)]
struct Hashes<'a> {
    sha256: &'a Digest,
    #[serde(flatten)]
    others: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    filename: &'a str,
    url: String,
    hashes: Hashes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_time: Option<String>,
    yanked: Yanked<'a>,
    core_metadata: Metadata<'a>,
    /// The name that [PEP 658](https://peps.python.org/pep-0658/) gave it, for clients older than
    /// [PEP 714](https://peps.python.org/pep-0714/).
    dist_info_metadata: Metadata<'a>,
    provenance: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Yanked<'a> {
    Is(bool),
    Because(&'a str),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Metadata<'a> {
    No(bool),
    At(Sha256<'a>),
}

/// The page with all projects.
pub(super) fn root(projects: &[ProjectName]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Root {
        meta: META,
        projects: projects.iter().map(|name| Named { name }).collect(),
    })
}

/// The page of a project; `up` leads from it to the server's root: `../../`.
pub(super) fn project(listing: &Listing, up: &str) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Page {
        meta: META,
        name: &listing.name,
        project_status: &listing.status,
        versions: &listing.versions,
        files: listing
            .files
            .iter()
            .map(|file| File::of(file, up))
            .collect(),
    })
}

impl<'a> File<'a> {
    fn of(file: &'a Listed, up: &str) -> Self {
        let metadata = || match &file.metadata {
            Some(sha256) => Metadata::At(Sha256 { sha256 }),
            None => Metadata::No(false),
        };
        Self {
            filename: &file.filename,
            url: format!("{up}{}", file.path()),
            hashes: Hashes {
                sha256: &file.blob,
                others: &file.hashes,
            },
            requires_python: file.requires_python.as_deref(),
            size: file.size,
            upload_time: file
                .uploaded
                .map(|at| at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
            yanked: match &file.yanked {
                None => Yanked::Is(false),
                // An empty reason would say that the file is not yanked.
                Some(yank) => match yank.reason.as_deref().filter(|text| !text.is_empty()) {
                    Some(reason) => Yanked::Because(reason),
                    None => Yanked::Is(true),
                },
            },
            core_metadata: metadata(),
            dist_info_metadata: metadata(),
            provenance: file.provenance.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::{Status, Yank};

    #[test]
    fn a_page_has_every_fact() {
        let plain = Listed {
            filename: "x-1.0-py3-none-any.whl".into(),
            blob: Digest::of("x"),
            hashes: BTreeMap::new(),
            size: Some(1),
            uploaded: Some(DateTime::UNIX_EPOCH + TimeDelta::microseconds(1_500_000)),
            requires_python: Some(">=3.9".into()),
            metadata: Some(Digest::of("m")),
            yanked: None,
            provenance: None,
        };
        let yanked = |reason: Option<&str>| Listed {
            requires_python: None,
            metadata: None,
            yanked: Some(Yank {
                reason: reason.map(str::to_owned),
            }),
            ..plain.clone()
        };
        let listing = Listing {
            name: "x".parse().unwrap(),
            status: ProjectStatus {
                status: Status::Archived,
                reason: None,
            },
            versions: vec!["1.0".into()],
            files: vec![
                plain.clone(),
                yanked(Some("\"broken\"")),
                yanked(None),
                yanked(Some("")),
            ],
        };
        let page: Value = serde_json::from_slice(&project(&listing, "../../").unwrap()).unwrap();
        assert_eq!(page["meta"], json!({"api-version": "1.4"}));
        assert_eq!(page["name"], "x");
        assert_eq!(page["project-status"], json!({"status": "archived"}));
        assert_eq!(page["versions"], json!(["1.0"]));
        let sha256 = json!({"sha256": Digest::of("m")});
        assert_eq!(
            page["files"][0],
            json!({
                "filename": "x-1.0-py3-none-any.whl",
                "url": format!("../../files/{}/x-1.0-py3-none-any.whl", Digest::of("x")),
                "hashes": {"sha256": Digest::of("x")},
                "requires-python": ">=3.9",
                "size": 1,
                "upload-time": "1970-01-01T00:00:01.500000Z",
                "yanked": false,
                "core-metadata": sha256,
                "dist-info-metadata": sha256,
                "provenance": null,
            })
        );
        let file = &page["files"][1];
        assert_eq!(file["yanked"], "\"broken\"");
        assert_eq!(file["core-metadata"], false);
        assert!(file.get("requires-python").is_none());
        assert_eq!(page["files"][2]["yanked"], true);
        assert_eq!(page["files"][3]["yanked"], true);
    }

    #[test]
    fn the_root_names_projects() {
        let names = ["a", "b-c"].map(|name| name.parse().unwrap());
        let page: Value = serde_json::from_slice(&root(&names).unwrap()).unwrap();
        assert_eq!(
            page,
            json!({"meta": {"api-version": "1.4"}, "projects": [{"name": "a"}, {"name": "b-c"}]})
        );
    }
}
