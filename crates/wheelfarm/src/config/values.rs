//! Values of the configuration that have a form of their own.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wheelfarm_build::recipes::parse_size;

/// A time: `90s`, `30m`, `2h`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Written", into = "String")]
pub(crate) struct Seconds(u64);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a time such as `30m`, or a number of seconds")]
enum Written {
    Number(u64),
    Text(String),
}

impl Seconds {
    /// The number of seconds.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("`{text}` is no time: write `90s`, `30m`, `2h` or `30d`");
        if let Ok(seconds) = text.parse() {
            return Ok(Self(seconds));
        }
        let (number, unit) = text
            .split_at_checked(text.len().saturating_sub(1))
            .ok_or_else(error)?;
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => return Err(error()),
        };
        let number: u64 = number.parse().map_err(|_| error())?;
        number.checked_mul(factor).map(Self).ok_or_else(error)
    }
}

impl TryFrom<Written> for Seconds {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(seconds) => Ok(Self(seconds)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> Self {
        format!("{}s", seconds.0)
    }
}

/// A size: `512MiB`, `2GiB`, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "WrittenSize", into = "u64")]
pub(crate) struct Size(u64);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a size such as `2GiB`, or a number of bytes")]
enum WrittenSize {
    Bytes(u64),
    Text(String),
}

impl Size {
    /// The number of bytes.
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<WrittenSize> for Size {
    type Error = String;

    fn try_from(written: WrittenSize) -> Result<Self, String> {
        match written {
            WrittenSize::Bytes(bytes) => Ok(Self(bytes)),
            WrittenSize::Text(text) => {
                let bytes = parse_size(&text).map_err(|error| error.to_string());
                bytes.map(Self)
            }
        }
    }
}

impl From<Size> for u64 {
    fn from(size: Size) -> Self {
        size.0
    }
}

/// What runs the builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub(crate) enum ExecutorChoice {
    /// Docker if it answers, else the sandbox.
    #[default]
    Auto,
    /// The Docker Engine that `DOCKER_HOST` names.
    Docker,
    /// Containers of our own, with no engine.
    Sandbox,
    /// The Remote Execution cluster of `[remote]`.
    Reapi,
}

impl ExecutorChoice {
    /// Its word in configurations.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Docker => "docker",
            Self::Sandbox => "sandbox",
            Self::Reapi => "reapi",
        }
    }
}

impl TryFrom<String> for ExecutorChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for ExecutorChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "docker" => Ok(Self::Docker),
            "reapi" => Ok(Self::Reapi),
            "sandbox" => Ok(Self::Sandbox),
            _ => Err(format!(
                "there is no executor called `{text}`: `auto`, `docker`, `sandbox` or `reapi`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let number = |text: &str| text.parse().map(Seconds::number);
        assert_eq!(number("90s"), Ok(90));
        assert_eq!(number("90"), Ok(90));
        assert_eq!(number("30m"), Ok(1800));
        assert_eq!(number("2d"), Ok(172_800));
        for bad in ["", "m", "5w", "-1s", "5é", "99999999999999999h"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
