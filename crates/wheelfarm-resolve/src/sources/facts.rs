//! What a source says of its name and version, without running anything of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use wheelfarm_types::{ProjectName, Version};

/// The files that are looked at, by name; each at the project's top.
pub(super) const NAMES: [&str; 4] = ["PKG-INFO", "pyproject.toml", "setup.cfg", "setup.py"];

/// Name and version, as far as they stand in a source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: Option<ProjectName>,
    /// None if it has to be computed.
    pub(super) version: Option<Version>,
}

#[derive(Deserialize)]
struct PyProject {
    project: Option<Project>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Default, Deserialize)]
struct Project {
    name: Option<String>,
    version: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Tool {
    poetry: Option<Project>,
    poetry_dynamic_versioning: Option<toml::Value>,
}

/// Reads `files` (of [`NAMES`], with their text). The first that knows the name is believed.
pub(super) fn read(files: &BTreeMap<String, String>) -> Facts {
    let text = |name: &str| files.get(name).map(String::as_str).unwrap_or_default();
    [
        of_metadata(text("PKG-INFO")),
        of_pyproject(text("pyproject.toml")),
        of_setup_cfg(text("setup.cfg")),
        of_setup_py(text("setup.py")),
    ]
    .into_iter()
    .find(|facts| facts.name.is_some())
    .unwrap_or_default()
}

fn facts(name: Option<&str>, version: Option<&str>) -> Facts {
    Facts {
        name: name.and_then(|name| name.parse().ok()),
        version: version.and_then(|version| version.parse().ok()),
    }
}

fn of_metadata(text: &str) -> Facts {
    let header = |name: &str| {
        let mut lines = text.lines().take_while(|line| !line.is_empty());
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    facts(header("Name"), header("Version"))
}

fn of_pyproject(text: &str) -> Facts {
    let Ok(parsed) = toml::from_str::<PyProject>(text) else {
        return Facts::default();
    };
    let dynamic = parsed.tool.poetry_dynamic_versioning.is_some();
    // What is dynamic has no key of its own.
    let Some(project) = parsed.project.or(parsed.tool.poetry) else {
        return Facts::default();
    };
    let version = project.version.filter(|_| !dynamic);
    facts(project.name.as_deref(), version.as_deref())
}

fn of_setup_cfg(text: &str) -> Facts {
    let mut in_metadata = false;
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        if line.starts_with('[') {
            in_metadata = line.trim() == "[metadata]";
        } else if in_metadata
            && !line.starts_with(char::is_whitespace)
            && let Some((key, value)) = line.split_once(['=', ':'])
        {
            values.insert(key.trim(), value.trim());
        }
    }
    // `attr: module.name` and `file: name` are computed.
    let stated = |key: &str| {
        values
            .get(key)
            .copied()
            .filter(|value| !value.contains([':', '%']))
    };
    facts(stated("name"), stated("version"))
}

/// The name, if it is passed to `setup()` as it is. A guess; the wheel's name is compared with it.
fn of_setup_py(text: &str) -> Facts {
    let call = text.find("setup(").and_then(|at| text.get(at..));
    let name = call.and_then(|call| {
        call.match_indices("name").find_map(|(at, word)| {
            let before = call.get(..at)?.chars().next_back()?;
            let value = call.get(at + word.len()..)?.trim_start();
            let value = value.strip_prefix('=')?.trim_start();
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (name, _) = value.get(1..)?.split_once(quote)?;
            (!before.is_alphanumeric() && before != '_').then_some(name)
        })
    });
    facts(name, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> (String, String) {
        let files = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let facts = read(&files.collect());
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        (
            text(facts.name.map(|name| name.to_string())),
            text(facts.version.map(|version| version.to_string())),
        )
    }

    #[test]
    fn names_and_versions() {
        for (files, name, version) in [
            (
                &[(
                    "PKG-INFO",
                    "Metadata-Version: 2.2\nName: A_b\nVersion: 1.0\n\nName: c",
                )][..],
                "a-b",
                "1.0",
            ),
            (
                &[("pyproject.toml", "[project]\nname='x'\nversion='2'")],
                "x",
                "2",
            ),
            (
                &[
                    ("pyproject.toml", "[project]\nname='x'\ndynamic=['version']"),
                    ("setup.cfg", "[metadata]\nname = y\nversion = 3"),
                ],
                "x",
                "-",
            ),
            (
                &[("pyproject.toml", "[tool.poetry]\nname='x'\nversion='2'")],
                "x",
                "2",
            ),
            (
                &[(
                    "pyproject.toml",
                    "[tool.poetry]\nname='x'\nversion='0'\n[tool.poetry-dynamic-versioning]\nenable=true",
                )],
                "x",
                "-",
            ),
            (
                &[
                    ("pyproject.toml", "[build-system]\nrequires=[]"),
                    (
                        "setup.cfg",
                        "[metadata]\nname = y\nversion = attr: y.__version__\n[options]\nname=z",
                    ),
                ],
                "y",
                "-",
            ),
            (
                &[(
                    "setup.py",
                    "filename='n'\nsetup(\n  filename='q',\n  name = \"s\",\n version=v)",
                )],
                "s",
                "-",
            ),
            (&[("setup.py", "setup(**arguments)")], "-", "-"),
            (&[("pyproject.toml", "broken [")], "-", "-"),
            (&[], "-", "-"),
        ] {
            assert_eq!(
                of(files),
                (name.to_owned(), version.to_owned()),
                "{files:?}"
            );
        }
    }
}
