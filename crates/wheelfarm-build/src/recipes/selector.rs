//! Selectors: which projects and cells something is for.

use std::fmt;
use std::str::FromStr;

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};
use wheelfarm_types::ProjectName;

/// `psycopg2 / cp313-*manylinux*`: a pattern for projects and one for cells ([`crate::matrix::Cell::id`]). Without a
/// slash it is the pattern for cells, and holds for every project. `*`, `?`, `[..]` and `{..,..}` as in a shell.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: String,
    project: Option<GlobMatcher>,
    cell: GlobMatcher,
}

/// A text that selects nothing, whatever there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a selector such as `psycopg2 / cp313-*manylinux*`: {reason}")]
pub struct SelectorError {
    text: String,
    reason: String,
}

impl Selector {
    /// Whether it selects `project` in the cell called `cell`.
    pub fn matches(&self, project: &ProjectName, cell: &str) -> bool {
        self.matches_project(project) && self.matches_cell(cell)
    }

    /// Whether it selects `project` in some cell.
    pub fn matches_project(&self, project: &ProjectName) -> bool {
        let project = project.as_str();
        self.project
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(project))
    }

    /// Whether it selects something in the cell called `cell`.
    pub fn matches_cell(&self, cell: &str) -> bool {
        self.cell.is_match(cell)
    }

    /// Whether it names projects.
    pub fn names_projects(&self) -> bool {
        self.project.is_some()
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let error = |reason: String| SelectorError {
            text: text.to_owned(),
            reason,
        };
        let glob = |pattern: &str| {
            if pattern.is_empty() {
                return Err(error("a pattern is empty".to_owned()));
            }
            let glob = Glob::new(pattern).map_err(|source| error(source.kind().to_string()))?;
            Ok(glob.compile_matcher())
        };
        let (project, cell) = match text.split_once('/') {
            Some((project, cell)) => (Some(project.trim()), cell.trim()),
            None => (None, text.trim()),
        };
        if cell.contains('/') {
            return Err(error("it has two slashes".to_owned()));
        }
        // Names are compared in their normalized form, so patterns are brought to it as well.
        let project = project.map(|pattern| pattern.to_ascii_lowercase().replace(['_', '.'], "-"));
        Ok(Self {
            text: text.to_owned(),
            project: project.as_deref().map(glob).transpose()?,
            cell: glob(cell)?,
        })
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELLS: [&str; 3] = [
        "cp311-manylinux_2_36_x86_64",
        "cp313-manylinux_2_28_x86_64",
        "cp313t-musllinux_1_2_x86_64",
    ];

    #[track_caller]
    fn check(selector: &str, project: &str, expected: [bool; 3]) {
        let selector: Selector = selector.parse().unwrap();
        let project = project.parse().unwrap();
        assert_eq!(
            CELLS.map(|cell| selector.matches(&project, cell)),
            expected,
            "{selector}"
        );
    }

    #[test]
    fn projects_and_cells() {
        check(
            "psycopg2 / cp313-*manylinux*",
            "psycopg2",
            [false, true, false],
        );
        check("psycopg2 / cp313-*manylinux*", "lxml", [false; 3]);
        check("cp31*-musllinux*", "lxml", [false, false, true]);
        check("*", "lxml", [true; 3]);
        check("Python_LDAP/*", "python-ldap", [true; 3]);
        check("psycopg* / *", "psycopg-c", [true; 3]);
        check("cp3{11,12}-*", "x", [true, false, false]);
        check("cp313", "x", [false; 3]);
    }

    #[test]
    fn what_can_select_nothing_is_refused() {
        for bad in ["", "x /", "/ cp311-*", "a/b/c", "cp31[", "{a"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
