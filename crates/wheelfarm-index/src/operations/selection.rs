//! Which files an operation is for.

use std::str::FromStr;

use wheelfarm_types::{ProjectName, RequirementError, Version};

use crate::files::project_of;

/// Files of a project in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Whose.
    pub project: ProjectName,
    /// Which of them.
    pub which: Which,
}

/// Which files of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All of a version.
    Version(Version),
    /// The one with this name.
    File(String),
}

/// A text that names no files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Neither a file nor a version.
    #[error(
        "`{0}` is neither a version (`NAME==VERSION`) nor the name of a wheel or source distribution"
    )]
    Form(String),
    /// A name or a version that is none.
    #[error(transparent)]
    Part(#[from] RequirementError),
}

impl FromStr for Selection {
    type Err = SelectionError;

    /// `psycopg2==2.9.10`, or the name of a file.
    fn from_str(text: &str) -> Result<Self, SelectionError> {
        if let Some((project, version)) = text.split_once("==") {
            return Ok(Self {
                project: project.trim().parse()?,
                which: Which::Version(version.trim().parse()?),
            });
        }
        let project = project_of(text).ok_or_else(|| SelectionError::Form(text.to_owned()))?;
        Ok(Self {
            project,
            which: Which::File(text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_or_a_file() {
        let parsed: Selection = "Psycopg2 == 2.9.10".parse().unwrap();
        assert_eq!(parsed.project.as_str(), "psycopg2");
        assert_eq!(parsed.which, Which::Version("2.9.10".parse().unwrap()));
        let name = "ruamel_yaml-1.0-py3-none-any.whl";
        let parsed: Selection = name.parse().unwrap();
        assert_eq!(parsed.project.as_str(), "ruamel-yaml");
        assert_eq!(parsed.which, Which::File(name.to_owned()));
        for bad in [
            "psycopg2",
            "x-1.0.whl",
            "x==one",
            "-==1",
            "",
            "a/b-1-py3-none-any.whl",
        ] {
            assert!(bad.parse::<Selection>().is_err(), "{bad}");
        }
    }
}
