//! An entry of a page of the index behind this one: what of it can be used.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::Value;
use wheelfarm_types::{Digest, ProjectName};

use super::page::MirroredFile;
use crate::registry::Yank;

/// Longest file name, in bytes: what file systems hold.
const LONGEST_NAME: usize = 255;

/// What was made of an entry of a page.
pub(super) enum Read {
    File(Box<MirroredFile>),
    /// It says no sha256, so nobody could tell whether the bytes are right.
    NoSha256,
    /// It is no file of the project.
    Nothing,
}

/// Whether a file of this name can be one of `project`: some part of it before a dash is the project's name. Names of
/// source distributions say no more than that.
pub(super) fn is_of(filename: &str, project: &ProjectName) -> bool {
    projects_of(filename).any(|candidate| candidate == *project)
}

/// The projects of which a file of this name can be one, the likeliest first.
pub(super) fn projects_of(filename: &str) -> impl Iterator<Item = ProjectName> {
    let dashes: Vec<usize> = filename.match_indices('-').map(|(at, _)| at).collect();
    // A wheel's name has no dash before the version; in other names the version is what follows the last one.
    let first: Vec<usize> = if filename.strip_suffix(".whl").is_some() {
        dashes.into_iter().take(1).collect()
    } else {
        dashes.into_iter().take(16).rev().collect()
    };
    first
        .into_iter()
        .filter_map(|at| filename.get(..at)?.parse().ok())
}

/// Whether a file can have this name here: one segment of an address and of a path, in visible ASCII.
pub(super) fn is_filename(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+!~".contains(&byte);
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with('.')
        && !name.ends_with(".metadata")
        && name.bytes().all(plain)
}

/// Whether a text of a page can be handed on: no control characters, and not long.
pub(super) fn is_plain(text: &str) -> bool {
    text.len() <= 1000 && !text.chars().any(char::is_control)
}

/// What was made of an entry of a JSON page that was at `base`.
pub(super) fn from_value(file: &Value, project: &ProjectName, base: &Url) -> Read {
    let text = |name: &str| file.get(name).and_then(Value::as_str);
    let hashes = file.get("hashes").and_then(Value::as_object);
    let hashes: BTreeMap<String, String> = hashes
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let (Some(filename), Some(url)) = (text("filename"), text("url")) else {
        return Read::Nothing;
    };
    let metadata = file
        .get("core-metadata")
        .or_else(|| file.get("dist-info-metadata"))
        .or_else(|| file.get("data-dist-info-metadata"))
        .and_then(|value| value.get("sha256")?.as_str()?.parse().ok());
    Raw {
        filename,
        url,
        hashes,
        size: file.get("size").and_then(Value::as_u64),
        uploaded: text("upload-time"),
        requires_python: text("requires-python"),
        metadata,
        yanked: match file.get("yanked") {
            Some(Value::Bool(true)) => Some(""),
            Some(Value::String(reason)) => Some(reason.as_str()),
            _ => None,
        },
        provenance: text("provenance"),
    }
    .read(project, base)
}

/// A file as a page says it, in whichever form.
pub(super) struct Raw<'a> {
    pub(super) filename: &'a str,
    pub(super) url: &'a str,
    pub(super) hashes: BTreeMap<String, String>,
    pub(super) size: Option<u64>,
    pub(super) uploaded: Option<&'a str>,
    pub(super) requires_python: Option<&'a str>,
    pub(super) metadata: Option<Digest>,
    /// The reason why it is yanked, perhaps an empty one.
    pub(super) yanked: Option<&'a str>,
    pub(super) provenance: Option<&'a str>,
}

impl Raw<'_> {
    /// What of it can be used.
    pub(super) fn read(mut self, project: &ProjectName, base: &Url) -> Read {
        if !is_filename(self.filename) || !is_of(self.filename, project) {
            return Read::Nothing;
        }
        let Some(url) = base.join(self.url).ok().and_then(plain_address) else {
            return Read::Nothing;
        };
        let stated = self.hashes.remove("sha256");
        let Some(sha256) = stated.and_then(|text| text.parse().ok()) else {
            return Read::NoSha256;
        };
        let hexadecimal = |text: &str| {
            text.len() <= 256 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        self.hashes
            .retain(|name, value| is_plain(name) && hexadecimal(value));
        let plain = |text: &&str| is_plain(text);
        let uploaded = self.uploaded.and_then(|text| text.parse().ok());
        Read::File(Box::new(MirroredFile {
            filename: self.filename.to_owned(),
            url,
            sha256,
            hashes: self.hashes,
            size: self.size,
            uploaded,
            requires_python: self.requires_python.filter(plain).map(str::to_owned),
            metadata: self.metadata,
            yanked: self.yanked.map(|reason| Yank {
                reason: Some(reason)
                    .filter(plain)
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned),
            }),
            provenance: self
                .provenance
                .filter(plain)
                .filter(|text| Url::parse(text).is_ok_and(|url| is_http(&url)))
                .map(str::to_owned),
        }))
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// An address without credentials and fragment; none if it is not one of HTTP.
fn plain_address(mut url: Url) -> Option<String> {
    if !is_http(&url) {
        return None;
    }
    url.set_fragment(None);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_file_it_is_stands_in_its_name() {
        let of = |filename: &str| -> Vec<String> {
            projects_of(filename).map(|name| name.to_string()).collect()
        };
        assert_eq!(of("Foo_Bar-1.0-1-py3-none-any.whl"), ["foo-bar"]);
        assert_eq!(of("foo-bar-1.0.tar.gz"), ["foo-bar", "foo"]);
        assert_eq!(of("-1.zip"), Vec::<String>::new());
    }
}
