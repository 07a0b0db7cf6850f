//! A project as the index behind this one has it: its JSON page ([PEP 691](https://peps.python.org/pep-0691/)) read
//! with care. Facts that are not what they should be are left out, one by one; they spoil nothing else.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wheelfarm_types::{Digest, ProjectName, WheelFilename};

use super::entry::{Read, from_value, is_plain};
use crate::registry::{ProjectStatus, Yank};

/// A project of the index behind this one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MirroredProject {
    /// Its files, in its order.
    pub(crate) files: Vec<MirroredFile>,
    /// Its versions ([PEP 700](https://peps.python.org/pep-0700/)), if the page says them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) versions: Vec<String>,
    /// Its status ([PEP 792](https://peps.python.org/pep-0792/)).
    #[serde(default)]
    pub(crate) status: ProjectStatus,
    /// How many files were left out since nothing says their sha256.
    #[serde(default)]
    pub(crate) unhashed: usize,
}

/// A file of the index behind this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MirroredFile {
    /// Its name.
    pub(crate) filename: String,
    /// Where it is there, without credentials.
    pub(crate) url: String,
    /// What its bytes must be.
    pub(crate) sha256: Digest,
    /// Further hashes by algorithm.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hashes: BTreeMap<String, String>,
    /// How many bytes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// When it was uploaded there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uploaded: Option<DateTime<Utc>>,
    /// Which Pythons it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) requires_python: Option<String>,
    /// The sha256 of its METADATA, if that can be had by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Digest>,
    /// Whether it is yanked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) yanked: Option<Yank>,
    /// Where its provenance is ([PEP 740](https://peps.python.org/pep-0740/)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provenance: Option<String>,
}

impl MirroredProject {
    /// Reads a JSON page that was at `base`. None if it is no such page at all.
    pub(super) fn from_json(bytes: &[u8], project: &ProjectName, base: &Url) -> Option<Self> {
        let page: Value = serde_json::from_slice(bytes).ok()?;
        let files = page.get("files")?.as_array()?;
        let mut read = Self::default();
        for file in files {
            read.add(from_value(file, project, base));
        }
        let versions = page.get("versions").and_then(Value::as_array);
        read.versions = versions
            .into_iter()
            .flatten()
            .filter_map(|version| version.as_str().filter(|text| is_plain(text)))
            .map(str::to_owned)
            .collect();
        // Servers differ in where they put it: the specification's own example has it in `meta`.
        let status = page
            .get("project-status")
            .or_else(|| page.get("meta")?.get("project-status"));
        if let Some(status) = status {
            read.status = serde_json::from_value(status.clone()).unwrap_or_default();
        }
        Some(read)
    }

    /// Adds a file that was read.
    pub(super) fn add(&mut self, read: Read) {
        match read {
            Read::File(file) => self.files.push(*file),
            Read::NoSha256 => self.unhashed += 1,
            Read::Nothing => {}
        }
    }

    /// The file called `filename` with these bytes.
    pub(crate) fn file(&self, sha256: &Digest, filename: &str) -> Option<&MirroredFile> {
        self.files
            .iter()
            .find(|file| file.sha256 == *sha256 && file.filename == filename)
    }

    /// How many files [`Self::older_than`] leaves.
    pub(crate) fn count_older_than(&self, age: Duration, now: DateTime<Utc>) -> usize {
        let files = self.files.iter();
        files.filter(|file| file.is_older_than(age, now)).count()
    }

    /// Without the files that were uploaded after `now - age`, or nobody knows when, and without versions of which
    /// nothing is left.
    pub(crate) fn older_than(&self, age: Duration, now: DateTime<Utc>) -> Self {
        let version = |file: &MirroredFile| version_of(&file.filename);
        let files = self.files.iter().cloned();
        let (old, young): (Vec<_>, Vec<_>) = files.partition(|file| file.is_older_than(age, now));
        let gone = |text: &String| {
            let meant = text.parse::<pep440_rs::Version>().ok();
            let is_of = |file: &MirroredFile| meant.is_some() && version(file) == meant;
            young.iter().any(is_of) && !old.iter().any(is_of)
        };
        let mut versions = self.versions.clone();
        versions.retain(|text| !gone(text));
        Self {
            files: old,
            versions,
            status: self.status.clone(),
            unhashed: self.unhashed,
        }
    }
}

impl MirroredFile {
    fn is_older_than(&self, age: Duration, now: DateTime<Utc>) -> bool {
        self.uploaded.is_some_and(|at| now - at >= age)
    }
}

/// The version in the name of a wheel or a source distribution.
fn version_of(filename: &str) -> Option<pep440_rs::Version> {
    if let Ok(wheel) = filename.parse::<WheelFilename>() {
        return wheel.version.replace('_', "-").parse().ok();
    }
    let stem = [".tar.gz", ".zip", ".tar.bz2", ".tar.xz"]
        .iter()
        .find_map(|extension| filename.strip_suffix(extension))?;
    stem.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Status;

    fn base() -> Url {
        "https://user:secret@host/simple/x-y/".parse().unwrap()
    }

    fn read(page: &Value) -> MirroredProject {
        let project = "x-y".parse().unwrap();
        MirroredProject::from_json(page.to_string().as_bytes(), &project, &base()).unwrap()
    }

    #[test]
    fn all_facts_are_kept() {
        let digest = Digest::of("wheel");
        let metadata = Digest::of("metadata");
        let page = read(&json!({
            "meta": {"api-version": "1.4", "_last-serial": 3}, "name": "X.Y",
            "versions": ["1.0", "2"],
            "project-status": {"status": "archived", "reason": "old"},
            "files": [{
                "filename": "x_y-1.0-py3-none-any.whl",
                "url": "../../files/x_y-1.0-py3-none-any.whl#sha256=no",
                "hashes": {"sha256": digest.to_string(), "blake2b": "ab", "md5": "zz"},
                "size": 5, "upload-time": "2026-01-02T03:04:05.678901Z",
                "requires-python": ">=3.9", "yanked": "broken",
                "core-metadata": {"sha256": metadata.to_string()},
                "provenance": "https://host/provenance",
            }],
        }));
        assert_eq!(page.versions, ["1.0", "2"]);
        assert_eq!(page.status.status, Status::Archived);
        let file = page.file(&digest, "x_y-1.0-py3-none-any.whl").unwrap();
        assert_eq!(file.url, "https://host/files/x_y-1.0-py3-none-any.whl");
        assert_eq!(
            file.hashes,
            BTreeMap::from([("blake2b".into(), "ab".into())])
        );
        assert_eq!((file.size, file.metadata), (Some(5), Some(metadata)));
        assert_eq!(file.requires_python.as_deref(), Some(">=3.9"));
        assert_eq!(file.provenance.as_deref(), Some("https://host/provenance"));
        let yanked = file.yanked.as_ref().unwrap();
        assert_eq!(yanked.reason.as_deref(), Some("broken"));
        let uploaded = file.uploaded.unwrap().to_rfc3339();
        assert_eq!(uploaded, "2026-01-02T03:04:05.678901+00:00");
        let again = serde_json::from_value(serde_json::to_value(&page).unwrap());
        assert_eq!(page, again.unwrap());
    }

    #[test]
    fn what_is_not_as_it_should_be_spoils_nothing_else() {
        let sha256 = Digest::of("").to_string();
        let file = |filename: &str, url: &str| json!({"filename": filename, "url": url, "hashes": {"sha256": sha256}});
        let long = format!("x-y-{}.zip", "1".repeat(300));
        let mut files = vec![
            json!(1),
            json!({"filename": "x-y-1.zip"}),
            file("../x-y-1.zip", "a"),
            file(".x-y-1.zip", "a"),
            file("x-y-1 .zip", "a"),
            file("x-y-<b>.zip", "a"),
            file(&long, "a"),
            file("z-1.zip", "a"),
            file("x-y-1.zip.metadata", "a"),
            file("x-y-1.zip", "file:///etc/passwd"),
            file("x-y-1.zip", "https://[bad"),
        ];
        files.push(json!({"filename": "x-y-2.zip", "url": "a", "hashes": {"md5": "00"}}));
        files.push(json!({"filename": "x-y-2.zip", "url": "a", "hashes": {"sha256": "00"}}));
        files.push(json!({
            "filename": "x-y-3.zip", "url": "a", "hashes": {"sha256": sha256}, "size": -1, "yanked": false,
            "upload-time": "yesterday", "requires-python": 3, "core-metadata": true,
            "provenance": "javascript:alert(1)",
        }));
        let page =
            read(&json!({"files": files, "versions": [1, "3", "a\nb"], "project-status": 7}));
        assert_eq!(page.unhashed, 2);
        assert_eq!(page.versions, ["3"]);
        let [good] = page.files.as_slice() else {
            panic!("{page:?}");
        };
        assert_eq!(good.filename, "x-y-3.zip");
        assert!(good.size.is_none() && good.uploaded.is_none() && good.yanked.is_none());
        assert!(good.metadata.is_none() && good.provenance.is_none());
        assert!(good.requires_python.is_none());
        for bad in ["", "[]", "{}", "{\"files\": {}}", "<html>"] {
            let project = "x".parse().unwrap();
            let page = MirroredProject::from_json(bad.as_bytes(), &project, &base());
            assert_eq!(page, None, "{bad}");
        }
    }

    #[test]
    fn a_cool_down_hides_files_and_versions() {
        let sha256 = Digest::of("").to_string();
        let file = |filename: &str, at: &str| json!({"filename": filename, "url": "a", "hashes": {"sha256": sha256}, "upload-time": at});
        let page = read(&json!({"versions": ["1", "2", "3", "4"], "files": [
            file("x_y-1-py3-none-any.whl", "2026-01-01T00:00:00Z"),
            file("x_y-2-py3-none-any.whl", "2026-01-01T00:00:00Z"),
            file("x-y-2.0.tar.gz", "2026-01-09T00:00:00Z"),
            file("x-y-3.tar.gz", "2026-01-09T00:00:00Z"),
            file("x-y-4.tar.gz", "unknown"),
        ]}));
        let now = "2026-01-10T00:00:00Z".parse().unwrap();
        let old = page.older_than(Duration::days(7), now);
        let names: Vec<_> = old.files.iter().map(|it| it.filename.as_str()).collect();
        assert_eq!(names, ["x_y-1-py3-none-any.whl", "x_y-2-py3-none-any.whl"]);
        assert_eq!(old.versions, ["1", "2"]);
    }
}
