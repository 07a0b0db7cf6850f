//! Names of images.

use std::fmt;
use std::str::FromStr;

/// A name that an engine knows an image by: `wheels`, `registry.example:5000/team/wheels:2026-01`.
///
/// The grammar is that of Docker's
/// [references](https://pkg.go.dev/github.com/distribution/reference), without digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    repository: String,
    tag: String,
}

/// A text that is no name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name that an image can have: `wheels` or `registry.example/team/wheels:tag`, in lower case"
)]
pub struct ImageNameError(String);

impl ImageName {
    /// The tag: `latest` if none was given.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The name without its tag.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The registry that it is pushed to, as Docker's configuration names it.
    pub fn registry(&self) -> &str {
        match self.repository.split_once('/') {
            Some((first, _)) if is_registry(first) => first,
            _ => "https://index.docker.io/v1/",
        }
    }

    /// The name with the registry that engines add to short ones.
    pub fn full(&self) -> String {
        match self.repository.split_once('/') {
            Some((first, _)) if is_registry(first) => self.to_string(),
            Some(_) => format!("docker.io/{self}"),
            None => format!("docker.io/library/{self}"),
        }
    }
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, ImageNameError> {
        let error = || ImageNameError(text.chars().take(100).collect());
        let (repository, tag) = match text.rsplit_once(':') {
            // Not the port of a registry.
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (text, "latest"),
        };
        let mut parts: Vec<_> = repository.split('/').collect();
        if parts.len() > 1 && parts.first().is_some_and(|first| is_registry(first)) {
            let registry = parts.remove(0);
            let (host, port) = registry.split_once(':').unwrap_or((registry, "0"));
            let is_host = host.split('.').all(is_part);
            if !is_host || port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(error());
            }
        }
        let is_tag = (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if !is_tag || repository.len() > 255 || !parts.into_iter().all(is_part) {
            return Err(error());
        }
        Ok(Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

/// Whether `part` is letters, digits, and single separators between them.
fn is_part(part: &str) -> bool {
    let is_inner = |byte: u8| b"._-".contains(&byte);
    let is_outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(|&byte| is_outer(byte))
        && bytes.last().is_some_and(|&byte| is_outer(byte))
        && bytes.iter().all(|&byte| is_outer(byte) || is_inner(byte))
        && !part.contains("..")
        && !part.contains("___")
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_engines_take() {
        for (text, name, full) in [
            ("wheels", "wheels:latest", "docker.io/library/wheels:latest"),
            ("team/wheels:1", "team/wheels:1", "docker.io/team/wheels:1"),
            (
                "localhost:5000/w",
                "localhost:5000/w:latest",
                "localhost:5000/w:latest",
            ),
            (
                "r.example/a-b/c_d:V1",
                "r.example/a-b/c_d:V1",
                "r.example/a-b/c_d:V1",
            ),
        ] {
            let parsed: ImageName = text.parse().unwrap();
            assert_eq!(
                (parsed.to_string(), parsed.full()),
                (name.to_owned(), full.to_owned())
            );
        }
    }

    #[test]
    fn other_texts_are_no_names() {
        for text in [
            "",
            ":",
            "Wheels",
            "a b",
            "a:",
            "a:-x",
            "/a",
            "a/",
            "a//b",
            "-a",
            "a-",
            "a..b",
            "a@sha256:00",
            "localhost:x/a",
            "a:b/c:d\n",
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text:?}");
        }
    }
}
