//! What a project's page says, before it is HTML or JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use wheelfarm_types::{Digest, ProjectName, Version};

use crate::registry::{File, Project, ProjectStatus, Status, Yank};

/// The facts of a project's page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listing {
    /// Its name.
    pub(crate) name: ProjectName,
    /// Its status.
    pub(crate) status: ProjectStatus,
    /// Its versions, normalised, each once, oldest first.
    pub(crate) versions: Vec<String>,
    /// Its files, by version and name.
    pub(crate) files: Vec<Listed>,
}

/// A file of a page. It is served at `files/<blob>/<filename>`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    /// Its name.
    pub(crate) filename: String,
    /// Its bytes.
    pub(crate) blob: Digest,
    /// Further hashes of them by algorithm, if somebody else has computed some.
    pub(crate) hashes: BTreeMap<String, String>,
    /// How many they are, if that is known.
    pub(crate) size: Option<u64>,
    /// When it was published, if that is known.
    pub(crate) uploaded: Option<DateTime<Utc>>,
    /// Which Pythons it runs on.
    pub(crate) requires_python: Option<String>,
    /// SHA-256 of its METADATA, which is served beside it.
    pub(crate) metadata: Option<Digest>,
    /// Whether it is yanked.
    pub(crate) yanked: Option<Yank>,
    /// Where its provenance is ([PEP 740](https://peps.python.org/pep-0740/)).
    pub(crate) provenance: Option<String>,
}

impl Listing {
    /// What there is to say of `project`. Of one that is quarantined no file is named: clients do not look at the
    /// status.
    pub(crate) fn of(name: &ProjectName, project: &Project) -> Self {
        let hidden = project.status.status == Status::Quarantined;
        let files = project.files.values().filter(|_| !hidden);
        let mut files: Vec<(Option<Version>, &File)> = files
            .map(|file| (file.published.version.parse().ok(), file))
            .collect();
        // Names are in order already, and stay so within a version.
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut versions: Vec<(&Option<Version>, &str)> = files
            .iter()
            .map(|(version, file)| (version, file.published.version.as_str()))
            .collect();
        versions.dedup_by(|(one, text), (other, before)| match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => text == before,
        });
        let versions = versions
            .into_iter()
            .map(|(version, text)| version.as_ref().map_or(text.to_owned(), Version::to_string))
            .collect();
        Self {
            name: name.clone(),
            status: project.status.clone(),
            versions,
            files: files
                .into_iter()
                .map(|(_, file)| Listed::of(file))
                .collect(),
        }
    }
}

impl Listed {
    fn of(file: &File) -> Self {
        let published = &file.published;
        Self {
            filename: published.filename.clone(),
            blob: published.blob,
            hashes: BTreeMap::new(),
            size: Some(published.size),
            uploaded: Some(published.uploaded),
            requires_python: published.requires_python.clone(),
            metadata: published.metadata.as_ref().map(|metadata| metadata.blob),
            yanked: file.yanked.clone(),
            // There is none of the kind that the specification describes: it needs certificates and a transparency
            // log. Our own statements are elsewhere.
            provenance: None,
        }
    }

    /// Its address below the server's root.
    pub(super) fn path(&self) -> String {
        let mut path = format!("files/{}/", self.blob);
        for byte in self.filename.bytes() {
            // Unreserved characters (RFC 3986, section 2.3); `+` of local versions is a space to some servers.
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _infallible = write!(path, "%{byte:02X}");
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Channel;
    use crate::registry::testing::{publish, registry};

    #[tokio::test]
    async fn versions_are_in_their_order_and_each_there_once() {
        let registry = registry().await;
        let main = Channel::main();
        for name in [
            "x-1.10-py3-none-any.whl",
            "x-1.9-py3-none-any.whl",
            "x-1.9-1wf-py3-none-any.whl",
            "x-1.9+cu121-py3-none-any.whl",
            "x-2.0rc1-py3-none-any.whl",
            "x-1!0.1-py3-none-any.whl",
            "x-2.0.0-py3-none-any.whl",
            "x-2-py2-none-any.whl",
        ] {
            publish(&registry, &main, name, b"x").await;
        }
        let name: ProjectName = "x".parse().unwrap();
        let listing =
            registry.read(|state| Listing::of(&name, state.project(&main, &name).unwrap()));
        // `2` and `2.0.0` are one version; which spelling is told does not matter, that both are not does.
        assert_eq!(
            listing.versions,
            ["1.9", "1.9+cu121", "1.10", "2.0rc1", "2", "1!0.1"]
        );
        assert_eq!(listing.files[0].filename, "x-1.9-1wf-py3-none-any.whl");
        let local = &listing.files[2];
        assert!(
            local.path().ends_with("/x-1.9%2Bcu121-py3-none-any.whl"),
            "{}",
            local.path()
        );
    }
}
