//! Where the configuration stands, and its text made into values.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::keys;
use crate::exit::Failure;

const OWN: &str = "wheelfarm.toml";
const SHARED: &str = "pyproject.toml";
/// Our table of the shared file.
const TABLE: [&str; 2] = ["tool", "wheelfarm"];

/// A configuration file, or none.
pub(super) struct Document {
    path: Option<PathBuf>,
    /// The configuration alone.
    table: Table,
    /// What names of tables begin with in errors: `tool.wheelfarm.`, or nothing.
    prefix: &'static str,
    /// The text, where all of it is the configuration: for errors with lines.
    text: Option<String>,
}

/// The file at `path`; without one, the first of [`OWN`] and [`SHARED`] in the current directory that speaks of us.
pub(super) fn read(path: Option<&Path>) -> Result<Document, Failure> {
    if let Some(path) = path {
        return open(path)?.ok_or_else(|| {
            Failure::usage(format!(
                "there is no configuration file `{}`",
                path.display()
            ))
        });
    }
    for name in [OWN, SHARED] {
        if let Some(document) = open(Path::new(name))?
            && (name == OWN || !document.table.is_empty())
        {
            return Ok(document);
        }
    }
    Ok(Document {
        path: None,
        table: Table::new(),
        prefix: "",
        text: None,
    })
}

fn open(path: &Path) -> Result<Option<Document>, Failure> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::usage(format!(
                "the configuration could not be read: {error}"
            )));
        }
    };
    let mut table: Table = toml::from_str(&text).map_err(|error| unusable(path, &error))?;
    let shared = path.file_name().is_some_and(|name| name == SHARED);
    if shared {
        for name in TABLE {
            table = match table.remove(name) {
                Some(Value::Table(inner)) => inner,
                _ => Table::new(),
            };
        }
    }
    Ok(Some(Document {
        path: Some(path.to_owned()),
        table,
        prefix: if shared { "tool.wheelfarm." } else { "" },
        text: (!shared).then_some(text),
    }))
}

impl Document {
    /// What relative paths of the file are relative to.
    pub(super) fn directory(&self) -> &Path {
        let parent = self.path.as_deref().and_then(Path::parent);
        parent.unwrap_or(Path::new(""))
    }

    /// The configuration, with `set` (`farm.jobs=2`) laid over the file's.
    pub(super) fn typed<T: DeserializeOwned>(&self, set: &[String]) -> Result<T, Failure> {
        let name = self.path.as_deref().unwrap_or(Path::new(OWN));
        keys::check(&self.table, self.prefix).map_err(|detail| unusable(name, &detail))?;
        if let (Some(text), []) = (&self.text, set) {
            return toml::from_str(text).map_err(|error| unusable(name, &error));
        }
        let table: T = Value::Table(self.table.clone())
            .try_into()
            .map_err(|error| unusable(name, &error))?;
        if set.is_empty() {
            return Ok(table);
        }
        let mut table = self.table.clone();
        for assignment in set {
            lay_over(&mut table, assignment)?;
        }
        keys::check(&table, "").map_err(|detail| Failure::usage(format!("`--set`: {detail}")))?;
        Value::Table(table)
            .try_into()
            .map_err(|error| Failure::usage(format!("`--set`: {}", error.to_string().trim_end())))
    }
}

/// Sets what `assignment` says: `KEY.KEY=VALUE`, where what is no TOML value is a text.
fn lay_over(table: &mut Table, assignment: &str) -> Result<(), Failure> {
    let error = |detail: &str| Failure::usage(format!("`--set {assignment}`: {detail}"));
    let (key, value) = assignment
        .split_once('=')
        .ok_or_else(|| error("write KEY=VALUE, as in `farm.jobs=2`"))?;
    // An own document for each, so that quoted keys are understood.
    let place: Table = toml::from_str(&format!("{key} = 0"))
        .map_err(|_| error(&format!("`{key}` is no key such as `farm.jobs`")))?;
    let value = toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.trim().to_owned()));
    let mut path = Vec::new();
    let mut inner = &place;
    while let Some((name, next)) = inner.iter().next() {
        path.push(name.clone());
        let Value::Table(next) = next else { break };
        inner = next;
    }
    let Some(last) = path.pop() else {
        return Err(error("it names no key"));
    };
    let mut current = table;
    for (depth, name) in path.iter().enumerate() {
        let next = current
            .entry(name.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        current = next.as_table_mut().ok_or_else(|| {
            let here = path.get(..=depth).unwrap_or_default().join(".");
            error(&format!("`{here}` is no table"))
        })?;
    }
    current.insert(last, value);
    Ok(())
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let error = error.to_string();
    Failure::usage(format!(
        "`{}` cannot be used: {}",
        path.display(),
        error.trim_end()
    ))
}
