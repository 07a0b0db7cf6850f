//! Project names, versions and requirements.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A project name in its normalized form ([PEP 503](https://peps.python.org/pep-0503/#normalized-names)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(String);

/// A version ([PEP 440](https://peps.python.org/pep-0440/)), printed normalized.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(pep440_rs::Version);

/// One requirement ([PEP 508](https://peps.python.org/pep-0508/)), its text checked and kept as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Requirement {
    name: ProjectName,
    text: String,
}

/// A name, version or requirement that the packaging specifications do not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// Not a project name.
    #[error(
        "`{0}` is not a project name: letters, digits, `-`, `_` and `.` only, beginning and ending with a letter or digit"
    )]
    Name(String),
    /// Not a version.
    #[error("`{0}` is not a version (PEP 440)")]
    Version(String),
    /// Not a requirement.
    #[error("`{text}` is not a requirement (PEP 508): {reason}")]
    Requirement {
        /// What was given.
        text: String,
        /// What the parser says, on one line.
        reason: String,
    },
}

impl ProjectName {
    /// The normalized name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands in wheel file names: `-` becomes `_`.
    pub fn as_dist_name(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl FromStr for ProjectName {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let separator = |c: char| matches!(c, '-' | '_' | '.');
        let valid = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || separator(c))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !valid {
            return Err(RequirementError::Name(shorten(text)));
        }
        let parts: Vec<_> = text
            .split(separator)
            .filter(|part| !part.is_empty())
            .collect();
        Ok(Self(parts.join("-").to_ascii_lowercase()))
    }
}

impl FromStr for Version {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        pep440_rs::Version::from_str(text)
            .map(Self)
            .map_err(|_| RequirementError::Version(shorten(text)))
    }
}

impl Requirement {
    /// The project it asks for.
    pub fn name(&self) -> &ProjectName {
        &self.name
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let text = text.trim();
        let parsed =
            pep508_rs::Requirement::<pep508_rs::VerbatimUrl>::from_str(text).map_err(|error| {
                RequirementError::Requirement {
                    text: shorten(text),
                    reason: error
                        .message
                        .to_string()
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                }
            })?;
        Ok(Self {
            name: parsed.name.as_ref().parse()?,
            text: text.to_owned(),
        })
    }
}

/// Hostile input does not get to fill the terminal.
fn shorten(text: &str) -> String {
    const LIMIT: usize = 200;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! string_conversions {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = RequirementError;

            fn try_from(text: String) -> Result<Self, RequirementError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}
string_conversions!(ProjectName, Version, Requirement);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized() {
        let name: ProjectName = "Zope.-_Interface".parse().unwrap();
        assert_eq!(name.as_str(), "zope-interface");
        assert_eq!(name.as_dist_name(), "zope_interface");
        for bad in ["", "-x", "x-", "a b", "a/b", "ünï"] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_compare_by_pep_440() {
        let [a, b]: [Version; 2] = ["1.0.post1", "1.0rc2"].map(|v| v.parse().unwrap());
        assert!(b < a);
        assert!("one".parse::<Version>().is_err());
    }

    #[test]
    fn requirements_keep_their_text() {
        let text = r#"Psycopg2[x] >= 2.9 ; python_version < "3.14""#;
        let requirement: Requirement = text.parse().unwrap();
        assert_eq!(requirement.name().as_str(), "psycopg2");
        assert_eq!(requirement.to_string(), text);
        let error = "psycopg2 !! 3".parse::<Requirement>().unwrap_err();
        assert!(error.to_string().contains("psycopg2 !! 3"), "{error}");
    }
}
