//! Keys that there are, by the schema: a typing error is named with what was probably meant.

use std::sync::LazyLock;

use serde_json::Value as Schema;
use toml::{Table, Value};

/// The JSON schema of the configuration: for editors, and for the names of keys.
pub(crate) const SCHEMA: &str = include_str!("schema.json");

static PARSED: LazyLock<Schema> =
    LazyLock::new(|| serde_json::from_str(SCHEMA).expect("schema.json is checked by a test"));

/// Checks that all keys of `table` are known; else says which are not, one a line. `prefix` stands before names of
/// tables.
pub(super) fn check(table: &Table, prefix: &str) -> Result<(), String> {
    let mut unknown = Vec::new();
    check_table(
        table,
        &PARSED,
        &Place::Table(prefix.to_owned()),
        &mut unknown,
    );
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(unknown.join("\n"))
    }
}

/// Where a key stands.
enum Place {
    /// In a table; its dotted name with a dot at the end, or nothing for the file itself.
    Table(String),
    /// In an item of an array of tables.
    Item(String, usize),
}

impl Place {
    fn of(&self, key: &str) -> String {
        match self {
            Self::Table(name) => format!("{name}{key}."),
            Self::Item(name, number) => format!("{name} number {number}: {key}."),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Table(name) if name.is_empty() => String::new(),
            Self::Table(name) => format!(" in [{}]", name.trim_end_matches('.')),
            Self::Item(name, number) => format!(" in [[{name}]] (number {number})"),
        }
    }
}

fn check_table(table: &Table, schema: &Schema, place: &Place, unknown: &mut Vec<String>) {
    let known = properties(schema);
    for (key, value) in table {
        if let Some((_, schema)) = known.iter().find(|(name, _)| name == key) {
            check_value(value, schema, key, place, unknown);
            continue;
        }
        match additional(schema) {
            Some(Schema::Bool(false)) => {
                let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
                unknown.push(format!(
                    "unknown key `{key}`{}; {}",
                    place.name(),
                    meant(key, &names)
                ));
            }
            Some(schema) => check_value(value, schema, key, place, unknown),
            None => {}
        }
    }
}

fn check_value(
    value: &Value,
    schema: &Schema,
    key: &str,
    place: &Place,
    unknown: &mut Vec<String>,
) {
    let schema = resolved(schema);
    match value {
        Value::Table(table) => check_table(table, schema, &Place::Table(place.of(key)), unknown),
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else {
                return;
            };
            for (index, item) in items.iter().enumerate() {
                if let Value::Table(table) = item {
                    let name = place.of(key).trim_end_matches('.').to_owned();
                    check_table(table, schema, &Place::Item(name, index + 1), unknown);
                }
            }
        }
        _ => {}
    }
}

/// `#/$defs/<name>` of the schema, if `schema` refers to one.
fn referred(schema: &Schema) -> Option<&'static Schema> {
    let reference = schema.get("$ref")?.as_str()?;
    PARSED.pointer(reference.strip_prefix('#')?)
}

fn resolved(schema: &Schema) -> &Schema {
    match referred(schema) {
        // What has members of its own stands for itself; see `properties`.
        Some(definition) if schema.get("properties").is_none() => definition,
        _ => schema,
    }
}

/// The keys of a table: its own, and those of the definition that it refers to.
fn properties(schema: &Schema) -> Vec<(String, &Schema)> {
    let own = schema.get("properties").and_then(Schema::as_object);
    let referred = referred(schema).and_then(|schema| schema.get("properties"));
    let referred = referred.and_then(Schema::as_object);
    own.into_iter()
        .chain(referred)
        .flatten()
        .map(|(name, schema)| (name.clone(), schema))
        .collect()
}

fn additional(schema: &Schema) -> Option<&Schema> {
    let schema = resolved(schema);
    schema.get("additionalProperties")
}

/// What was probably meant by `key`.
fn meant(key: &str, names: &[&str]) -> String {
    let near = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(key, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min();
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => format!("it has `{}`", names.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;
    use wheelfarm_build::recipes::RecipeOverride;

    use super::*;
    use crate::config::index::IndexChannel;
    use crate::config::{Config, Farm, Index, Upstream};

    /// The keys of `T`, as serde lists them when it meets one that it does not know.
    fn fields<T: DeserializeOwned>() -> BTreeSet<String> {
        let error = toml::from_str::<T>("'?' = 0").err().unwrap();
        let (_, list) = error.message().split_once("expected ").unwrap();
        list.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    }

    fn listed(pointer: &str) -> BTreeSet<String> {
        let schema = PARSED.pointer(pointer).unwrap();
        properties(schema)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn the_schema_has_every_key_and_no_other() {
        assert_eq!(listed(""), fields::<Config>());
        assert_eq!(listed("/properties/farm"), fields::<Farm>());
        assert_eq!(listed("/properties/index"), fields::<Index>());
        let upstream = "/properties/index/properties/upstream";
        assert_eq!(listed(upstream), fields::<Upstream>());
        let channel = "/properties/index/properties/channel/additionalProperties";
        assert_eq!(listed(channel), fields::<IndexChannel>());
        assert_eq!(listed("/$defs/recipe"), fields::<RecipeOverride>());
    }

    #[test]
    fn every_key_is_described() {
        for pointer in [
            "",
            "/properties/farm",
            "/properties/index",
            "/properties/index/properties/channel/additionalProperties",
            "/properties/index/properties/upstream",
            "/$defs/recipe",
        ] {
            for (name, schema) in properties(PARSED.pointer(pointer).unwrap()) {
                assert!(schema.get("description").is_some(), "{name}");
            }
        }
    }
}
