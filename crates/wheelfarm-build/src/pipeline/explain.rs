//! Why a key is another one than the last time: the inputs that differ.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wheelfarm_store::Store;
use wheelfarm_types::Digest;

use super::Job;
use super::context::Context;
use crate::environment::EnvironmentRecord;
use crate::error::JobError;
use crate::history;
use crate::records::{FailureRecord, RawInputs, RawRecord, kind};

/// What differs from the last build of the same project in the same cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// When that build ended, in seconds since 1970.
    pub last: u64,
    /// The version that was built.
    pub version: String,
    /// Lines of what was and is no more, and of what is new, in order of their place: `-` or `+`, and the line.
    pub lines: Vec<(char, String)>,
}

/// Compares `inputs` with those of the last build of the project in the cell of `job`; none if there was none.
pub async fn explain(
    context: &Context,
    job: &Job,
    inputs: &RawInputs,
) -> Result<Option<Explanation>, JobError> {
    let store = &context.store;
    let Some(last) = history::latest(store, &job.package.name, &job.cell.id()).await? else {
        return Ok(None);
    };
    let record = store.record::<RawRecord>(kind::RAW, &last.raw_key).await?;
    let before = match record {
        Some(record) => Some(record.inputs),
        None => store
            .latest::<FailureRecord>(kind::FAILURE, &last.raw_key)
            .await?
            .map(|(_, failure)| failure.inputs),
    };
    let Some(before) = before else {
        return Ok(None);
    };
    let [mut old, mut new] = [&before, inputs].map(|inputs| json!(inputs));
    if before.manifest != inputs.manifest {
        // A digest says that packages differ; these say which.
        for (value, inputs) in [(&mut old, &before), (&mut new, inputs)] {
            if let Some(packages) = packages(store, inputs).await? {
                value["manifest"] = packages;
            }
        }
    }
    Ok(Some(Explanation {
        last: last.finished,
        version: last.version.to_string(),
        lines: difference(&old, &new),
    }))
}

/// The system packages of a build's environment, by name; none if its record is gone.
async fn packages(store: &Store, inputs: &RawInputs) -> Result<Option<Value>, JobError> {
    let (key, number): (&Digest, u64) = (&inputs.environment, inputs.generation.into());
    let record: Option<EnvironmentRecord> = store.entry(kind::ENVIRONMENT, key, number).await?;
    Ok(record.map(|record| {
        let packages: BTreeMap<_, _> = record
            .manifest
            .into_iter()
            .map(|package| {
                (
                    format!("{} {}", package.name, package.arch),
                    package.version,
                )
            })
            .collect();
        json!(packages)
    }))
}

/// What differs between two JSON values, a line for each leaf.
fn difference(old: &Value, new: &Value) -> Vec<(char, String)> {
    let mut places: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    for (side, value) in [old, new].into_iter().enumerate() {
        leaves(String::new(), value, &mut |place, leaf| {
            if let Some(slot) = places.entry(place).or_default().get_mut(side) {
                *slot = Some(leaf);
            }
        });
    }
    let mut lines = Vec::new();
    for (place, [old, new]) in places {
        if old != new {
            lines.extend(old.map(|old| ('-', format!("{place}: {old}"))));
            lines.extend(new.map(|new| ('+', format!("{place}: {new}"))));
        }
    }
    lines
}

/// Calls `each` with every leaf and its place. Files in lists stand at their names, so that one more does not move
/// all that follow.
fn leaves(place: String, value: &Value, each: &mut impl FnMut(String, String)) {
    let below = |key: &str| {
        if place.is_empty() {
            key.to_owned()
        } else {
            format!("{place}.{key}")
        }
    };
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                leaves(below(key), value, each);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match (item.get("name").and_then(Value::as_str), item.get("sha256")) {
                    (Some(name), Some(sha256)) => {
                        each(below(name), sha256.to_string());
                    }
                    _ => leaves(below(&index.to_string()), item, each),
                }
            }
        }
        leaf => each(place, leaf.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_said() {
        let old = json!({
            "python": "3.11", "env": { "CFLAGS": "-O2", "TZ": "UTC" },
            "build_requires": [{ "name": "a-1.whl", "sha256": "11" }, { "name": "c-1.whl", "sha256": "22" }],
        });
        let new = json!({
            "python": "3.11", "env": { "CFLAGS": "-O3", "TZ": "UTC", "X": "1" },
            "build_requires": [
                { "name": "a-1.whl", "sha256": "11" }, { "name": "b-2.whl", "sha256": "33" },
                { "name": "c-1.whl", "sha256": "22" },
            ],
        });
        let lines: Vec<_> = difference(&old, &new)
            .into_iter()
            .map(|(sign, line)| format!("{sign} {line}"))
            .collect();
        assert_eq!(
            lines,
            [
                "+ build_requires.b-2.whl: \"33\"",
                "- env.CFLAGS: \"-O2\"",
                "+ env.CFLAGS: \"-O3\"",
                "+ env.X: \"1\"",
            ]
        );
        assert_eq!(difference(&new, &new), []);
    }
}
