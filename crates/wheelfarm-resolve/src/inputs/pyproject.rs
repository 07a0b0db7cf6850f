//! What a `pyproject.toml` depends on: dependencies, extras
//! ([specification](https://packaging.python.org/en/latest/specifications/pyproject-toml/)) and dependency groups
//! ([PEP 735](https://peps.python.org/pep-0735/)).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use wheelfarm_types::ProjectName;

use super::lines::input_error;
use super::wish::Wish;
use super::{Choice, Inputs, RequiresPython, text_of};
use crate::ResolveError;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PyProject {
    project: Option<Project>,
    #[serde(default)]
    dependency_groups: BTreeMap<ProjectName, Vec<GroupItem>>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Project {
    name: Option<ProjectName>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<ProjectName, Vec<String>>,
    requires_python: Option<String>,
    #[serde(default)]
    dynamic: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum GroupItem {
    Requirement(String),
    Include {
        #[serde(rename = "include-group")]
        include_group: ProjectName,
    },
}

#[derive(Default, Deserialize)]
struct Tool {
    poetry: Option<toml::Value>,
    uv: Option<UvTool>,
}

#[derive(Deserialize)]
struct UvTool {
    #[serde(default)]
    sources: BTreeMap<ProjectName, toml::Value>,
}

/// Takes what the file at `path` depends on into `inputs`: its dependencies, and what of its extras and groups is
/// chosen.
pub(super) fn read(path: &Path, choice: &Choice, inputs: &mut Inputs) -> Result<(), ResolveError> {
    let file = path.display().to_string();
    let within = |error: ResolveError| error.within(&format!("`{file}`"));
    let parsed: PyProject = toml::from_str(&text_of(path)?)
        .map_err(|e| within(input_error(format!("it cannot be used: {e}"))))?;
    let mut texts = Texts {
        file: &parsed,
        extras: BTreeSet::new(),
        groups: BTreeSet::new(),
        found: Vec::new(),
    };
    texts.project(choice).map_err(within)?;
    for group in &choice.groups {
        texts.group(group, &mut Vec::new()).map_err(within)?;
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let sources = parsed.tool.uv.as_ref().map(|uv| &uv.sources);
    for text in texts.found {
        let wish = Wish::parse(&text, base).map_err(within)?;
        if let Wish::Project(requirement) = &wish
            && sources.is_some_and(|sources| sources.contains_key(requirement.name()))
        {
            let name = requirement.name();
            return Err(within(
                input_error(format!(
                    "where `{name}` comes from is said by [tool.uv.sources], which is not read"
                ))
                .hint("give the uv.lock beside it instead, which knows: `-r uv.lock`"),
            ));
        }
        inputs.add(wish);
    }
    inputs.pythons.push(RequiresPython {
        specifiers: parsed
            .project
            .and_then(|project| project.requires_python)
            .unwrap_or_default(),
        file,
    });
    Ok(())
}

/// Requirements, found in tables that refer to each other.
struct Texts<'a> {
    file: &'a PyProject,
    extras: BTreeSet<&'a ProjectName>,
    groups: BTreeSet<ProjectName>,
    found: Vec<String>,
}

impl<'a> Texts<'a> {
    fn project(&mut self, choice: &Choice) -> Result<(), ResolveError> {
        let Some(project) = &self.file.project else {
            if choice.groups.is_empty() {
                let error = input_error("it has no [project] table");
                return Err(if self.file.tool.poetry.is_some() {
                    error.hint("[tool.poetry] is read by poetry alone: `poetry export` writes a requirements file")
                } else {
                    error.hint("name a dependency group of it with `--group`")
                });
            }
            return if choice.extras.is_empty() {
                Ok(())
            } else {
                Err(input_error("it has no [project] table, and so no extras"))
            };
        };
        let dynamic = |name: &str| project.dynamic.iter().any(|dynamic| dynamic == name);
        let extras_wanted = choice.all_extras || !choice.extras.is_empty();
        if dynamic("dependencies") || (extras_wanted && dynamic("optional-dependencies")) {
            return Err(
                input_error("its dependencies are dynamic: known only when it is built")
                    .hint("name the directory instead, to build the project and what it requires: `wheelfarm build ./DIRECTORY`"),
            );
        }
        self.requirements(&project.dependencies)?;
        let all = project.optional_dependencies.keys();
        let all: Vec<_> = if choice.all_extras {
            all.collect()
        } else {
            Vec::new()
        };
        for extra in all.into_iter().chain(&choice.extras) {
            self.extra(extra)?;
        }
        Ok(())
    }

    fn extra(&mut self, name: &ProjectName) -> Result<(), ResolveError> {
        let extras = self
            .file
            .project
            .as_ref()
            .map(|project| &project.optional_dependencies);
        let Some((name, requirements)) = extras.and_then(|extras| extras.get_key_value(name))
        else {
            let known = extras.into_iter().flat_map(BTreeMap::keys);
            return Err(unknown("extra", name, known));
        };
        // Extras may name each other in a circle.
        if self.extras.insert(name) {
            self.requirements(requirements)?;
        }
        Ok(())
    }

    /// Takes `requirements`; where they are the project's own extras, what those require.
    fn requirements(&mut self, requirements: &'a [String]) -> Result<(), ResolveError> {
        let own = self
            .file
            .project
            .as_ref()
            .and_then(|project| project.name.as_ref());
        for text in requirements {
            let extras = own.and_then(|own| own_extras(text, own));
            match extras {
                Some(extras) => {
                    for extra in extras {
                        let extra = extra.parse().map_err(|e| input_error(format!("{e}")))?;
                        self.extra(&extra)?;
                    }
                }
                None => self.found.push(text.clone()),
            }
        }
        Ok(())
    }

    fn group(
        &mut self,
        name: &ProjectName,
        inside: &mut Vec<ProjectName>,
    ) -> Result<(), ResolveError> {
        let groups = &self.file.dependency_groups;
        let Some(items) = groups.get(name) else {
            return Err(unknown("dependency group", name, groups.keys()));
        };
        if inside.contains(name) {
            return Err(input_error(format!(
                "the dependency group `{name}` includes itself"
            )));
        }
        if !self.groups.insert(name.clone()) {
            return Ok(());
        }
        inside.push(name.clone());
        for item in items {
            match item {
                GroupItem::Requirement(text) => self.found.push(text.clone()),
                GroupItem::Include { include_group } => self.group(include_group, inside)?,
            }
        }
        inside.pop();
        Ok(())
    }
}

/// The extras of `text`, if it requires `own`, the project itself, without a condition.
fn own_extras<'t>(text: &'t str, own: &ProjectName) -> Option<impl Iterator<Item = &'t str>> {
    let (name, rest) = text.split_once('[')?;
    let (extras, rest) = rest.split_once(']')?;
    let same = name
        .trim()
        .parse::<ProjectName>()
        .is_ok_and(|name| name == *own);
    (same && rest.trim().is_empty()).then(|| extras.split(',').map(str::trim))
}

fn unknown<'a>(
    what: &str,
    name: &ProjectName,
    known: impl Iterator<Item = &'a ProjectName>,
) -> ResolveError {
    let known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
    let error = input_error(format!("there is no {what} `{name}`"));
    if known.is_empty() {
        error
    } else {
        error.hint(format!("there is {}", known.join(", ")))
    }
}
