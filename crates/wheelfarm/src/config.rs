//! `wheelfarm.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wheelfarm_build::recipes::RecipeOverride;
use wheelfarm_types::{ProjectName, PythonVersion, Target};

use crate::exit::Failure;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) farm: Farm,
    pub(crate) package: BTreeMap<ProjectName, RecipeOverride>,
}

/// `[farm]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Farm {
    pub(crate) requirements: Vec<PathBuf>,
    pub(crate) python: Vec<PythonVersion>,
    pub(crate) targets: Vec<Target>,
    pub(crate) store: Option<String>,
    pub(crate) from_source: Vec<String>,
    pub(crate) timeout: Option<String>,
}

const DEFAULT: &str = "wheelfarm.toml";

impl Config {
    /// Reads `path`; without one, `wheelfarm.toml` in the current directory if there is one.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let text = match (
            path,
            fs_err::read_to_string(path.unwrap_or(Path::new(DEFAULT))),
        ) {
            (_, Ok(text)) => text,
            (None, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            (_, Err(error)) => {
                return Err(Failure::usage(format!(
                    "the configuration could not be read: {error}"
                )));
            }
        };
        let name = path.unwrap_or(Path::new(DEFAULT)).display();
        toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("`{name}` cannot be used: {error}")))
    }
}

/// `90s`, `30m` or `2h` in seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, Failure> {
    let error = || Failure::usage(format!("`{text}` is no time: write `90s`, `30m` or `2h`"));
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(error)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    number.checked_mul(factor).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(seconds("90s").unwrap(), 90);
        assert_eq!(seconds("30m").unwrap(), 1800);
        for bad in ["", "m", "5", "5d", "-1s", "5é"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_keys_are_errors() {
        let error = toml::from_str::<Config>("[farm]\npyton = []").unwrap_err();
        assert!(error.to_string().contains("pyton"), "{error}");
        assert!(
            toml::from_str::<Config>("[package.psycopg2]\nsystem.apt = [\"libpq-dev\"]").is_ok()
        );
        assert!(toml::from_str::<Config>("[package.psycopg2]\nsystem.atp = []").is_err());
    }
}
