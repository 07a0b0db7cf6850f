//! What a build is asked for with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use wheelfarm_resolve::inputs::{Formats, Wish};
use wheelfarm_types::{Digest, ProjectName, PythonVersion, Requirement, Target};

use crate::registry::Channel;

/// How many requirements, constraints, cells or names a request may have, each.
const MOST: usize = 5000;
/// Longest text of one requirement, in bytes.
const LONGEST: usize = 4096;

/// What is to be built, for what, and where to it is published. Everything has a default but `requirements`.
///
/// Two requests that come to the same are one build: see [`BuildRequest::key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of `wheelfarm build`"
)]
pub struct BuildRequest {
    /// Requirements of PEP 508, to be found on the server's index.
    pub requirements: Vec<Requirement>,
    /// What else must hold of versions.
    pub constraints: Vec<Requirement>,
    /// Hashes that files may have, by project; with one for any project all need one.
    pub hashes: BTreeMap<ProjectName, BTreeSet<Digest>>,
    /// Whether files without a stated hash are refused, though there is none at all.
    pub require_hashes: bool,
    /// pip's `--no-binary`: names, or `:all:`.
    pub no_binary: Vec<String>,
    /// pip's `--only-binary`: names, or `:all:`.
    pub only_binary: Vec<String>,
    /// Whether versions that are not final are taken.
    pub prereleases: bool,
    /// Cells to build for, such as `cp311-manylinux_2_36_x86_64`. Without any, `python` and `targets` choose.
    pub cells: Vec<String>,
    /// Pythons to build for.
    pub python: Vec<PythonVersion>,
    /// Targets to build for.
    pub targets: Vec<Target>,
    /// Names of builder images.
    pub images: Vec<String>,
    /// Projects to build although the index has a wheel, or `all`.
    pub from_source: Vec<String>,
    /// Projects that are never built.
    pub only_upstream: Vec<String>,
    /// Leave out what the requirements themselves require.
    pub no_deps: bool,
    /// Look for newer versions.
    pub upgrade: bool,
    /// Try again what failed a short while ago.
    pub retry_failed: bool,
    /// Do not import the wheels on a bare runtime.
    pub no_prove: bool,
    /// Where what was built is published.
    pub channel: Channel,
    /// Whether it is published at all.
    pub publish: bool,
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It asks for nothing.
    #[error("the request names nothing to build: give at least one of `requirements`")]
    Empty,
    /// It asks for too much.
    #[error("the request has {found} {what}; {MOST} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// Names a place instead of a project on the index.
    #[error(
        "`{0}` names an address or a path: this server builds what its index has (`direct-urls` in its configuration allows addresses)"
    )]
    Direct(String),
    /// Is no requirement, or holds what has no place in one.
    #[error("{0}")]
    Malformed(String),
}

impl Default for BuildRequest {
    fn default() -> Self {
        Self {
            requirements: Vec::new(),
            constraints: Vec::new(),
            hashes: BTreeMap::new(),
            require_hashes: false,
            no_binary: Vec::new(),
            only_binary: Vec::new(),
            prereleases: false,
            cells: Vec::new(),
            python: Vec::new(),
            targets: Vec::new(),
            images: Vec::new(),
            from_source: Vec::new(),
            only_upstream: Vec::new(),
            no_deps: false,
            upgrade: false,
            retry_failed: false,
            no_prove: false,
            channel: Channel::main(),
            publish: true,
        }
    }
}

impl BuildRequest {
    /// Checks everything that can be checked without looking at anything else, and puts lists in order. `direct` allows
    /// addresses in requirements; paths never are: they would be paths of the server.
    pub fn check(&mut self, direct: bool) -> Result<(), RequestError> {
        if self.requirements.is_empty() {
            return Err(RequestError::Empty);
        }
        for (what, found) in [
            ("requirements", self.requirements.len()),
            ("constraints", self.constraints.len()),
            ("hashes", self.hashes.values().map(BTreeSet::len).sum()),
            ("names", self.no_binary.len() + self.only_binary.len()),
            ("names", self.from_source.len() + self.only_upstream.len()),
            ("images", self.images.len()),
            (
                "cells",
                self.cells.len() + self.python.len() * self.targets.len().max(1),
            ),
        ] {
            if found > MOST {
                return Err(RequestError::TooMany { what, found });
            }
        }
        for requirement in &self.requirements {
            check_requirement(requirement, direct)?;
        }
        for constraint in &self.constraints {
            check_requirement(constraint, false)?;
        }
        let names = self.from_source.iter().chain(&self.only_upstream);
        for name in names.filter(|name| *name != "all") {
            name.parse::<ProjectName>()
                .map_err(|error| RequestError::Malformed(error.to_string()))?;
        }
        for cell in &self.cells {
            parse_cell(cell).ok_or_else(|| {
                let cell: String = cell.chars().take(100).collect();
                RequestError::Malformed(format!(
                    "`{cell}` is no cell: write one as `cp311-manylinux_2_36_x86_64`"
                ))
            })?;
        }
        self.formats()?;
        for list in [&mut self.requirements, &mut self.constraints] {
            list.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            list.dedup();
        }
        for list in [
            &mut self.cells,
            &mut self.images,
            &mut self.from_source,
            &mut self.only_upstream,
        ] {
            list.sort();
            list.dedup();
        }
        Ok(())
    }

    /// What it comes to: requests with the same key are the same build.
    pub fn key(&self) -> Digest {
        // A struct of texts, numbers and ordered maps with keys that are texts: always JSON, always the same.
        Digest::of(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The choices of `no-binary` and `only-binary`.
    pub fn formats(&self) -> Result<Formats, RequestError> {
        let mut formats = Formats::default();
        for value in &self.no_binary {
            formats.no_binary(value).map_err(malformed)?;
        }
        for value in &self.only_binary {
            formats.only_binary(value).map_err(malformed)?;
        }
        Ok(formats)
    }

    /// The projects that it asks for by name.
    pub fn projects(&self) -> BTreeSet<&ProjectName> {
        self.requirements.iter().map(Requirement::name).collect()
    }
}

/// The Python and target of a cell's name.
pub fn parse_cell(cell: &str) -> Option<(PythonVersion, Target)> {
    let (python, target) = cell.split_once('-')?;
    let digits = python.strip_prefix("cp")?;
    let (major, minor) = digits.split_at_checked(1)?;
    let python: PythonVersion = format!("{major}.{minor}").parse().ok()?;
    Some((python, target.parse().ok()?))
}

/// A requirement goes on to a resolver as a line of a file: it must be one line, and no option.
fn check_requirement(requirement: &Requirement, direct: bool) -> Result<(), RequestError> {
    let text = requirement.as_str();
    let shown = || text.chars().take(200).collect::<String>();
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        let message = format!("`{}` is not one line of text, or too long", shown());
        return Err(RequestError::Malformed(message));
    }
    match Wish::parse(text, Path::new("")).map_err(malformed)? {
        Wish::Project(_) => Ok(()),
        Wish::Source(source) => match source.place {
            wheelfarm_resolve::inputs::Place::Path { .. } => Err(RequestError::Direct(shown())),
            _ if direct => Ok(()),
            _ => Err(RequestError::Direct(shown())),
        },
    }
}

fn malformed(error: impl std::fmt::Display) -> RequestError {
    RequestError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<BuildRequest, String> {
        let mut request: BuildRequest =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        request.check(false).map_err(|error| error.to_string())?;
        Ok(request)
    }

    #[test]
    fn the_same_in_another_order_is_the_same() {
        let one = request(r#"{"requirements": ["lxml>=5", "psycopg2"], "cells": []}"#).unwrap();
        let two =
            request(r#"{"requirements": ["psycopg2", "lxml>=5", "psycopg2"], "channel": "main"}"#);
        assert_eq!(one.key(), two.unwrap().key());
        let other =
            request(r#"{"requirements": ["psycopg2", "lxml>=5"], "channel": "staging"}"#).unwrap();
        assert_ne!(one.key(), other.key());
    }

    #[test]
    fn what_is_no_project_of_an_index_is_refused() {
        for (json, said) in [
            (r#"{"requirements": []}"#, "nothing to build"),
            (
                r#"{"requirements": ["x @ https://host/x.tar.gz"]}"#,
                "address or a path",
            ),
            (
                r#"{"requirements": ["x @ file:///etc/passwd"]}"#,
                "address or a path",
            ),
            (r#"{"requirements": ["./x"]}"#, "PEP 508"),
            (r#"{"requirements": ["-r /etc/passwd"]}"#, "PEP 508"),
            (r#"{"requirements": ["x\n--index-url http://host"]}"#, ""),
            (r#"{"requirements": ["x; python_version > '3'\n"]}"#, "x"),
            (
                r#"{"requirements": ["x"], "constraints": ["y @ git+https://host/y"]}"#,
                "address or a path",
            ),
            (r#"{"requirements": ["x"], "cells": ["cp311"]}"#, "no cell"),
            (r#"{"requirements": ["x"], "cells": ["é"]}"#, "no cell"),
            (
                r#"{"requirements": ["x"], "from-source": ["../x"]}"#,
                "project name",
            ),
            (r#"{"requirements": ["x"], "hashes": {"x": ["short"]}}"#, ""),
            (r#"{"requirements": ["x"], "channel": "../x"}"#, "channel"),
            (r#"{"requirements": ["x"], "timeout": 1}"#, "timeout"),
            (r"[1]", ""),
        ] {
            match request(json) {
                Err(error) => assert!(error.contains(said), "{json}: {error}"),
                // A line end behind the text is trimmed, one inside it is not.
                Ok(request) => {
                    let text = request.requirements.first().unwrap().as_str();
                    assert!(!text.contains('\n'), "{json}");
                }
            }
        }
    }

    #[test]
    fn addresses_are_for_servers_that_allow_them() {
        let parse = |text: &str| BuildRequest {
            requirements: vec![text.parse().unwrap()],
            ..BuildRequest::default()
        };
        let mut address = parse("x @ https://host/x-1.0.tar.gz");
        assert!(address.check(true).is_ok());
        assert!(address.check(false).is_err());
        assert!(parse("x @ file:///etc/x").check(true).is_err());
    }

    #[test]
    fn cells_have_a_python_and_a_target() {
        let (python, target) = parse_cell("cp313t-musllinux_1_2_aarch64").unwrap();
        assert_eq!(python.to_string(), "3.13t");
        assert_eq!(target.to_string(), "musllinux_1_2_aarch64");
        for bad in ["", "cp", "cp3-x", "311-manylinux_2_36_x86_64", "cpé-x"] {
            assert!(parse_cell(bad).is_none(), "{bad}");
        }
    }
}
