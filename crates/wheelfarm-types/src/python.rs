//! Python versions as the farm's matrix knows them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A CPython feature release, with its ABI flavour: `3.11`, or `3.14t` for the free-threaded build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PythonVersion {
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
    /// Built with `--disable-gil` (PEP 703).
    pub free_threaded: bool,
}

/// A text that names no Python version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a Python version: write `3.11`, or `3.14t` for the free-threaded build")]
pub struct PythonVersionError(String);

impl PythonVersion {
    /// The interpreter part of a compatibility tag: `cp311`.
    pub fn python_tag(&self) -> String {
        format!("cp{}{}", self.major, self.minor)
    }

    /// The ABI part of a compatibility tag: `cp311`, `cp314t`.
    pub fn abi_tag(&self) -> String {
        let flag = if self.free_threaded { "t" } else { "" };
        format!("{}{flag}", self.python_tag())
    }

    /// `3.11`: what `python_version` is in markers, and what resolvers take.
    pub fn release(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

impl FromStr for PythonVersion {
    type Err = PythonVersionError;

    fn from_str(text: &str) -> Result<Self, PythonVersionError> {
        let error = || PythonVersionError(text.chars().take(40).collect());
        let (numbers, free_threaded) = match text.strip_suffix('t') {
            Some(numbers) => (numbers, true),
            None => (text, false),
        };
        let (major, minor) = numbers.split_once('.').ok_or_else(error)?;
        let number = |part: &str| {
            part.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| part.parse().ok())
                .flatten()
                .ok_or_else(error)
        };
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
            free_threaded,
        })
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = if self.free_threaded { "t" } else { "" };
        write!(f, "{}.{}{flag}", self.major, self.minor)
    }
}

impl TryFrom<String> for PythonVersion {
    type Error = PythonVersionError;

    fn try_from(text: String) -> Result<Self, PythonVersionError> {
        text.parse()
    }
}

impl From<PythonVersion> for String {
    fn from(value: PythonVersion) -> Self {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for text in ["3.9", "3.13", "3.14t"] {
            assert_eq!(text.parse::<PythonVersion>().unwrap().to_string(), text);
        }
        for bad in ["3", "3.", ".9", "3.9.1", "3.x", "3.+9", "cp39", "3.999"] {
            assert!(bad.parse::<PythonVersion>().is_err(), "{bad}");
        }
        assert_eq!(
            "3.14t".parse::<PythonVersion>().unwrap().abi_tag(),
            "cp314t"
        );
    }
}
