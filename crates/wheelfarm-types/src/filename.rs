//! File names of wheels and source distributions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ProjectName, RequirementError, Tag, Version};

/// The optional build number of a wheel: digits, then anything that is no dash; higher ones are preferred.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildTag {
    number: u64,
    text: String,
}

/// A wheel's file name
/// ([binary distribution format](https://packaging.python.org/en/latest/specifications/binary-distribution-format/)).
///
/// Name and version keep the spelling of the file: `.dist-info` inside has it too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WheelFilename {
    /// Distribution name, as spelled.
    pub name: String,
    /// Version, as spelled.
    pub version: String,
    /// Build tag.
    pub build: Option<BuildTag>,
    /// Interpreter tags: `cp311`, `py3`.
    pub pythons: Vec<String>,
    /// ABI tags: `cp311`, `abi3`, `none`.
    pub abis: Vec<String>,
    /// Platform tags: `manylinux_2_28_x86_64`, `any`.
    pub platforms: Vec<String>,
}

/// A source distribution's file name ([PEP 625](https://peps.python.org/pep-0625/), older spellings too).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdistFilename {
    text: String,
    extension: &'static str,
}

/// A text that is no file name of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilenameError {
    /// Not a wheel.
    #[error("`{name}` is not a wheel file name: {reason}")]
    Wheel {
        /// What was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not a source distribution.
    #[error(
        "`{0}` is not a source distribution file name: it must end in `.tar.gz` or `.zip` and have no path in it"
    )]
    Sdist(String),
}

impl BuildTag {
    /// The text as it stands in the file name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for BuildTag {
    type Err = FilenameError;

    fn from_str(text: &str) -> Result<Self, FilenameError> {
        let error = |reason| FilenameError::Wheel {
            name: text.chars().take(80).collect(),
            reason,
        };
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        let number = digits
            .parse()
            .map_err(|_| error("a build tag must begin with a digit"))?;
        if !plain(text) {
            return Err(error(
                "a build tag holds only letters, digits, `_`, `.` and `+`",
            ));
        }
        Ok(Self {
            number,
            text: text.to_owned(),
        })
    }
}

impl WheelFilename {
    /// The project this is a wheel of.
    pub fn project(&self) -> Result<ProjectName, RequirementError> {
        self.name.parse()
    }

    /// The version this is a wheel of.
    pub fn parsed_version(&self) -> Result<Version, RequirementError> {
        self.version.replace('_', "-").parse()
    }

    /// `<name>-<version>`: the stem of the `.dist-info` and `.data` directories.
    pub fn stem(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// Every tag the compressed tag set stands for, in the order of the name.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.pythons.iter().flat_map(move |python| {
            self.abis.iter().flat_map(move |abi| {
                self.platforms.iter().map(move |platform| Tag {
                    python: python.clone(),
                    abi: abi.clone(),
                    platform: platform.clone(),
                })
            })
        })
    }

    /// Whether it runs on any platform.
    pub fn is_pure(&self) -> bool {
        self.platforms.iter().all(|platform| platform == "any")
    }
}

impl FromStr for WheelFilename {
    type Err = FilenameError;

    fn from_str(text: &str) -> Result<Self, FilenameError> {
        let error = |reason| FilenameError::Wheel {
            name: text.chars().take(200).collect(),
            reason,
        };
        let stem = text
            .strip_suffix(".whl")
            .ok_or_else(|| error("it does not end in `.whl`"))?;
        if !stem.split('-').all(plain) {
            return Err(error(
                "its parts hold only letters, digits, `_`, `.`, `+` and `!`, and none is empty",
            ));
        }
        let parts: Vec<_> = stem.split('-').collect();
        let (name, version, build, python, abi, platform) = match parts.as_slice() {
            [name, version, python, abi, platform] => (name, version, None, python, abi, platform),
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build.parse()?), python, abi, platform)
            }
            _ => return Err(error("it does not have five or six parts separated by `-`")),
        };
        let set = |part: &str| part.split('.').map(str::to_owned).collect::<Vec<_>>();
        let filename = Self {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            build,
            pythons: set(python),
            abis: set(abi),
            platforms: set(platform),
        };
        if filename.project().is_err() {
            return Err(error("its first part is not a project name"));
        }
        if filename.parsed_version().is_err() {
            return Err(error("its second part is not a version"));
        }
        Ok(filename)
    }
}

impl SdistFilename {
    /// `.tar.gz` or `.zip`.
    pub fn extension(&self) -> &'static str {
        self.extension
    }

    /// The name without its extension: usually the directory inside.
    pub fn stem(&self) -> &str {
        self.text.strip_suffix(self.extension).unwrap_or(&self.text)
    }
}

impl FromStr for SdistFilename {
    type Err = FilenameError;

    fn from_str(text: &str) -> Result<Self, FilenameError> {
        [".tar.gz", ".zip"]
            .into_iter()
            .find(|extension| text.ends_with(extension) && text.len() > extension.len())
            .filter(|_| text.split('-').all(plain))
            .map(|extension| Self {
                text: text.to_owned(),
                extension,
            })
            .ok_or_else(|| FilenameError::Sdist(text.chars().take(200).collect()))
    }
}

/// Whether a dash-separated part of a file name is safe everywhere: no path, no space, no control character.
fn plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '!'))
}

impl fmt::Display for BuildTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for WheelFilename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-", self.name, self.version)?;
        if let Some(build) = &self.build {
            write!(f, "{build}-")?;
        }
        let [pythons, abis, platforms] =
            [&self.pythons, &self.abis, &self.platforms].map(|set| set.join("."));
        write!(f, "{pythons}-{abis}-{platforms}.whl")
    }
}

impl fmt::Display for SdistFilename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for WheelFilename {
    type Error = FilenameError;

    fn try_from(text: String) -> Result<Self, FilenameError> {
        text.parse()
    }
}

impl From<WheelFilename> for String {
    fn from(value: WheelFilename) -> Self {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_print_what_they_parse() {
        for text in [
            "psycopg2-2.9.13-cp311-cp311-linux_x86_64.whl",
            "psycopg2-2.9.13-1wf3fa9c2b1-cp311-cp311-manylinux_2_34_x86_64.whl",
            "PyYAML-6.0.3-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            "a-1!2.0+local.1-py2.py3-none-any.whl",
        ] {
            assert_eq!(text.parse::<WheelFilename>().unwrap().to_string(), text);
        }
        let wheel: WheelFilename = "a-1-py2.py3-none-any.whl".parse().unwrap();
        assert_eq!(wheel.tags().count(), 2);
        assert!(wheel.is_pure());
    }

    #[test]
    fn hostile_wheel_names_are_refused() {
        for bad in [
            "",
            ".whl",
            "a-1-py3-none.whl",
            "a-1-b1-py3-none-any.whl",
            "a-1-1-py3-none-any-x.whl",
            "../a-1-py3-none-any.whl",
            "a-1-py3-none-a/b.whl",
            "a-1-py3-none-any.zip",
            "a-x-py3-none-any.whl",
            "a--py3-none-any.whl",
            "a-1-py3-none-any\n.whl",
        ] {
            assert!(bad.parse::<WheelFilename>().is_err(), "{bad}");
        }
    }

    #[test]
    fn build_tags_order_by_number() {
        let [two, ten]: [BuildTag; 2] = ["2wfzz", "10wfaa"].map(|t| t.parse().unwrap());
        assert!(two < ten);
    }

    #[test]
    fn sdists() {
        let name: SdistFilename = "psycopg2-2.9.13.tar.gz".parse().unwrap();
        assert_eq!(
            (name.stem(), name.extension()),
            ("psycopg2-2.9.13", ".tar.gz")
        );
        for bad in ["x.tar", ".tar.gz", "../x-1.tar.gz", "x-1.tar.gz\0"] {
            assert!(bad.parse::<SdistFilename>().is_err(), "{bad}");
        }
    }
}
