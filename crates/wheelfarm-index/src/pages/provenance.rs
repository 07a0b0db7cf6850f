//! How a wheel was made, read from the statement that the farm keeps about it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Most materials that are shown.
const MATERIALS: usize = 200;
/// Most packages of an environment that are shown.
const PACKAGES: usize = 3000;

/// What is shown of a statement.
#[derive(Debug, Default)]
pub(super) struct Provenance {
    /// What the user chose: name and value.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) materials: Vec<Material>,
    /// Packages of the build environment.
    pub(super) packages: Vec<String>,
    /// The program and its version.
    pub(super) builder: String,
    /// Whether the build could use the network.
    pub(super) network: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Material {
    pub(super) role: String,
    pub(super) name: String,
    pub(super) sha256: String,
}

#[derive(Deserialize)]
struct Statement {
    predicate: Predicate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: Definition,
    run_details: Option<Details>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    #[serde(default)]
    external_parameters: Map<String, Value>,
    #[serde(default)]
    resolved_dependencies: Vec<Resource>,
}

#[derive(Deserialize)]
struct Details {
    builder: Builder,
}

#[derive(Deserialize)]
struct Builder {
    #[serde(default)]
    version: Map<String, Value>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    name: String,
    #[serde(default)]
    digest: Map<String, Value>,
    #[serde(default)]
    annotations: Map<String, Value>,
}

/// Reads a statement; none if it is none.
pub(super) fn read(json: &[u8]) -> Option<Provenance> {
    let statement: Statement = serde_json::from_slice(json).ok()?;
    let definition = statement.predicate.build_definition;
    let mut shown = Provenance::default();
    for (name, value) in definition.external_parameters {
        if name == "network" {
            shown.network = value == Value::Bool(true);
        }
        if let Some(text) = text(&value) {
            shown.parameters.push((name.replace('-', " "), text));
        }
    }
    for resource in definition.resolved_dependencies.into_iter().take(MATERIALS) {
        if let Some(Value::Array(packages)) = resource.annotations.get("packages") {
            shown.packages.extend(
                packages
                    .iter()
                    .take(PACKAGES)
                    .filter_map(Value::as_str)
                    .map(str::to_owned),
            );
        }
        let member = |map: &Map<String, Value>, name: &str| {
            map.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        shown.materials.push(Material {
            role: member(&resource.annotations, "role"),
            sha256: member(&resource.digest, "sha256"),
            name: resource.name,
        });
    }
    if let Some(details) = statement.predicate.run_details {
        let versions = details.builder.version.iter();
        let versions: Vec<String> = versions
            .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()))
            .collect();
        shown.builder = versions.join(", ");
    }
    Some(shown)
}

/// A value in words; none if it says nothing.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().filter_map(text).collect();
            (!values.is_empty()).then(|| values.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .filter_map(|(name, value)| Some(format!("{name}={}", text(value)?)))
                .collect();
            (!members.is_empty()).then(|| members.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_in_words() {
        let json = br#"{"_type": "x", "predicate": {"buildDefinition": {
            "externalParameters": {"python": "3.11", "env": {"CFLAGS": "-O2"}, "exclude": [], "network": true},
            "resolvedDependencies": [
                {"name": "lxml-5.tar.gz", "digest": {"sha256": "ab"}, "annotations": {"role": "source"}},
                {"name": "installed system packages", "digest": {"sha256": "cd"},
                 "annotations": {"role": "environment", "packages": ["libxml2 2.9 amd64"]}}]},
            "runDetails": {"builder": {"id": "x", "version": {"wheelfarm": "0.1.0"}}}}}"#;
        let shown = read(json).unwrap();
        assert_eq!(
            shown.parameters,
            [
                ("env".to_owned(), "CFLAGS=-O2".to_owned()),
                ("network".to_owned(), "yes".to_owned()),
                ("python".to_owned(), "3.11".to_owned()),
            ]
        );
        assert!(shown.network);
        assert_eq!(shown.packages, ["libxml2 2.9 amd64"]);
        assert_eq!(shown.materials[0].role, "source");
        assert_eq!(shown.builder, "wheelfarm 0.1.0");
    }

    #[test]
    fn what_is_no_statement_is_none() {
        assert!(read(b"{}").is_none());
    }
}
