//! Names that files may be published under.

use wheelfarm_types::{ProjectName, SdistFilename, Version, WheelFilename};

use crate::Problem;

/// Bytes of a file's name: what file systems take.
const LONGEST: usize = 255;

/// What a file is, by its name.
#[derive(Debug, Clone)]
pub(crate) enum Named {
    /// A wheel.
    Wheel(WheelFilename),
    /// A source distribution.
    Sdist(SdistFilename),
}

impl Named {
    /// Takes a name apart; `Err` says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let bad = |reason: String| Problem::bad_request(reason);
        if text.is_empty() {
            return Err(bad("the file was sent without a name".to_owned()));
        }
        if text.len() > LONGEST {
            return Err(bad(format!(
                "the file's name has {} bytes, more than the {LONGEST} that a name may have",
                text.len()
            )));
        }
        if has_ending(text, ".whl") {
            let name: WheelFilename = text.parse().map_err(|e| bad(format!("{e}")))?;
            // What is printed is what was parsed, or it would be published under another name.
            if name.to_string() != text {
                return Err(bad(format!("`{}` is not a wheel file name", shown(text))));
            }
            return Ok(Self::Wheel(name));
        }
        if has_ending(text, ".tar.gz") || has_ending(text, ".zip") {
            let name: SdistFilename = text.parse().map_err(|e| bad(format!("{e}")))?;
            return Ok(Self::Sdist(name));
        }
        Err(bad(format!(
            "`{}` is neither a wheel nor a source distribution: its name must end in .whl, .tar.gz or .zip",
            shown(text)
        )))
    }

    /// The projects that the file can be of, by its name: of a source distribution there may be several, since names
    /// and versions may both have dashes.
    pub(crate) fn projects(&self) -> Vec<ProjectName> {
        match self {
            Self::Wheel(name) => name.project().into_iter().collect(),
            Self::Sdist(name) => splits(name).map(|(project, _)| project).collect(),
        }
    }

    /// Whether the name says that the file is of `project` in `version`.
    pub(crate) fn is_of(&self, project: &ProjectName, version: &Version) -> bool {
        match self {
            Self::Wheel(name) => {
                name.project().as_ref() == Ok(project)
                    && name.parsed_version().as_ref() == Ok(version)
            }
            Self::Sdist(name) => {
                splits(name).any(|split| split == (project.clone(), version.clone()))
            }
        }
    }
}

/// All ways to read a source distribution's name as a project and a version.
fn splits(name: &SdistFilename) -> impl Iterator<Item = (ProjectName, Version)> {
    let stem = name.stem();
    stem.match_indices('-').filter_map(move |(at, _)| {
        let (before, after) = stem.split_at(at);
        let version = after.strip_prefix('-')?.parse().ok()?;
        Some((before.parse().ok()?, version))
    })
}

/// Hostile names do not get to fill terminals, nor to control them.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect()
}

/// Endings are compared as they are written: installers do so too.
pub(super) fn has_ending(text: &str, ending: &str) -> bool {
    text.ends_with(ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of(name: &str, project: &str, version: &str) -> bool {
        let named = Named::parse(name).unwrap();
        named.is_of(&project.parse().unwrap(), &version.parse().unwrap())
    }

    #[test]
    fn names_say_whose_they_are() {
        assert!(is_of("Rich_Pkg-1.0-py3-none-any.whl", "rich-pkg", "1.0.0"));
        assert!(is_of("x-1.0+cu121-py3-none-any.whl", "x", "1.0+cu121"));
        assert!(is_of("rich-pkg-1.0.tar.gz", "Rich.Pkg", "1.0"));
        assert!(is_of("rich_pkg-1.0.zip", "rich-pkg", "1"));
        assert!(!is_of("rich_pkg-1.0.tar.gz", "rich", "1.0"));
        assert!(!is_of("x-1.0-py3-none-any.whl", "x", "1.1"));
    }

    #[test]
    fn other_names_are_refused() {
        let long = format!("x-1-py3-none-{}.whl", "a".repeat(300));
        for bad in [
            "",
            "../../x-1-py3-none-any.whl",
            "..\\x-1-py3-none-any.whl",
            "/x-1-py3-none-any.whl",
            "%2e%2e%2fx-1-py3-none-any.whl",
            "sub/x-1-py3-none-any.whl",
            "x-1-py3-none-any.whl\0",
            "x\0-1-py3-none-any.whl",
            ".evil-1-py3-none-any.whl",
            "<script>-1-py3-none-any.whl",
            "x-1\n-py3-none-any.whl",
            "é-1-py3-none-any.whl",
            "evil-1.0.exe",
            "evil-1.0.whl",
            "x-1-py3-none-a b.whl",
            "x-1-py3-none-any.whl.asc",
            "x-not!a!version-py3-none-any.whl",
            "x.tar.gz/",
            "../x-1.tar.gz",
            long.as_str(),
        ] {
            assert!(Named::parse(bad).is_err(), "{bad}");
        }
    }
}
