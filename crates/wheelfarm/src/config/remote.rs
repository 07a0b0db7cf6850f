//! `[remote]`: the Remote Execution cluster.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Seconds;

/// `[remote]`. Paths are as they are to be opened.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Remote {
    pub(crate) endpoint: Option<String>,
    pub(crate) storage: Option<String>,
    pub(crate) instance: String,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) image_mode: ImageModeName,
    pub(crate) image_property: Option<String>,
    pub(crate) inputs: Option<InputsName>,
    pub(crate) registry: Option<String>,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) network_properties: BTreeMap<String, String>,
    pub(crate) priority: i32,
    pub(crate) cores: Option<NonZeroU32>,
    pub(crate) queue_timeout: Option<Seconds>,
    pub(crate) patience: Option<Seconds>,
}

/// How actions get the image that they run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ImageModeName {
    /// A property names it, in a registry.
    #[default]
    ContainerImage,
    /// A property names its root file system, in the cluster's storage.
    Chroot,
    /// Its root file system is part of the inputs.
    InputRoot,
    /// Workers run in it.
    Pool,
}

/// Where actions find their inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum InputsName {
    /// At the top of the image's file system.
    Root,
    /// In a directory beside the image's files.
    Directory,
}

impl Remote {
    /// The same for people to see: values of headers are hidden, but for those that name variables.
    pub(crate) fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        for value in shown.headers.values_mut() {
            if !value.contains("${") {
                "(hidden)".clone_into(value);
            }
        }
        shown
    }

    /// Joins relative paths with `directory`.
    pub(super) fn join(&mut self, directory: &Path) {
        let paths = [
            &mut self.ca,
            &mut self.certificate,
            &mut self.key,
            &mut self.token_file,
        ];
        for path in paths.into_iter().flatten() {
            *path = directory.join(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_headers_are_not_shown() {
        let text = "headers = { x-key = 'abc', x-other = 'Bearer ${TOKEN}' }";
        let remote: Remote = toml::from_str(text).unwrap();
        let shown = toml::to_string(&remote.without_secrets()).unwrap();
        assert!(!shown.contains("abc"), "{shown}");
        assert!(shown.contains("Bearer ${TOKEN}"), "{shown}");
    }
}
