//! Provenance: what a wheel was made from, as an [in-toto statement](https://github.com/in-toto/attestation) with
//! the predicate of [SLSA provenance v1](https://slsa.dev/spec/v1.0/provenance).
//!
//! A statement is a function of records: it holds no clock, host or path, so the same inputs have the same statement
//! on every machine. When and where a build ran is in the store's history.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::{Digest, WheelFilename};

use crate::environment::EnvironmentRecord;
use crate::key::canonical_digest;
use crate::recipes::Vendoring;
use crate::records::{PinnedFile, ProvenanceRecord, RawInputs, RawRecord, WheelRecord, kind};

/// The type of a statement as a signed payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What the parameters and dependencies mean; it rises with their meaning.
const BUILD_TYPE: &str = "urn:wheelfarm:build:1";
const BUILDER: &str = "urn:wheelfarm:builder";

/// What is claimed of a wheel. Members that others may add are dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    of_type: String,
    subject: Vec<Resource>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: Value,
    internal_parameters: Value,
    resolved_dependencies: Vec<Resource>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RunDetails {
    builder: Builder,
    byproducts: Vec<Resource>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Builder {
    id: String,
    version: BTreeMap<String, String>,
}

/// Something with a name and a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Resource {
    name: String,
    digest: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    annotations: Map<String, Value>,
}

impl Resource {
    fn new(name: impl Into<String>, sha256: &Digest) -> Self {
        Self {
            name: name.into(),
            digest: [("sha256".to_owned(), sha256.to_string())].into(),
            annotations: Map::new(),
        }
    }

    fn file(file: &PinnedFile) -> Self {
        Self::new(&file.name, &file.sha256)
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.annotations.insert(name.to_owned(), value);
        self
    }
}

impl Statement {
    /// The statement about `wheel`, which was made from `raw` with the libraries of `environment`.
    pub fn new(wheel: &WheelRecord, raw: &RawRecord, environment: &EnvironmentRecord) -> Self {
        let (name, version) = wheel
            .inputs
            .tool
            .rsplit_once(' ')
            .unwrap_or((&wheel.inputs.tool, ""));
        Self {
            of_type: STATEMENT_TYPE.to_owned(),
            subject: vec![Resource::new(wheel.filename.to_string(), &wheel.wheel)],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate {
                build_definition: BuildDefinition {
                    build_type: BUILD_TYPE.to_owned(),
                    external_parameters: external(wheel, &raw.inputs, environment),
                    internal_parameters: json!({
                        "raw-key": canonical_digest(&raw.inputs),
                        "wheel-key": canonical_digest(&wheel.inputs),
                        "build-schema": raw.inputs.schema,
                        "repair-schema": wheel.inputs.schema,
                        "generation": environment.generation,
                    }),
                    resolved_dependencies: materials(&raw.inputs, environment),
                },
                run_details: RunDetails {
                    builder: Builder {
                        id: BUILDER.to_owned(),
                        version: [(name.to_owned(), version.to_owned())].into(),
                    },
                    byproducts: vec![Resource::new(raw.filename.to_string(), &raw.wheel)],
                },
            },
        }
    }

    /// Reads a statement; the error says what is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let statement: Self = serde_json::from_slice(json)
            .map_err(|error| format!("it is no statement of SLSA provenance: {error}"))?;
        if statement.of_type != STATEMENT_TYPE {
            return Err(format!(
                "its type is `{}`, not `{STATEMENT_TYPE}`",
                statement.of_type.escape_debug()
            ));
        }
        if statement.predicate_type != PREDICATE_TYPE {
            return Err(format!(
                "its predicate is `{}`, not `{PREDICATE_TYPE}`",
                statement.predicate_type.escape_debug()
            ));
        }
        Ok(statement)
    }

    /// Checks that it is about the wheel of this name and digest; the error says what it is about instead.
    pub fn check_subject(&self, filename: &WheelFilename, sha256: &Digest) -> Result<(), String> {
        let sha256 = sha256.to_string();
        let digest = |resource: &Resource| resource.digest.get("sha256") == Some(&sha256);
        let named = |resource: &Resource| resource.name == filename.to_string();
        if self
            .subject
            .iter()
            .any(|resource| digest(resource) && named(resource))
        {
            return Ok(());
        }
        if self.subject.iter().any(digest) {
            return Err("it is about these bytes under another name".to_owned());
        }
        if self.subject.iter().any(named) {
            return Err("it is about other bytes of this name".to_owned());
        }
        Err("it is about another file".to_owned())
    }

    /// The name of the source that the wheel was built from: the first of its materials.
    pub fn source(&self) -> Option<&str> {
        let materials = &self.predicate.build_definition.resolved_dependencies;
        materials.first().map(|source| source.name.as_str())
    }

    /// The statement as it is stored and signed: JSON with members in a fixed order.
    pub fn to_json(&self) -> Bytes {
        // Texts, numbers and maps with texts as keys: always JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// What the user chose, or wheelfarm in his stead.
fn external(wheel: &WheelRecord, raw: &RawInputs, environment: &EnvironmentRecord) -> Value {
    json!({
        "project": raw.project,
        "version": raw.version,
        "python": raw.python,
        "target": wheel.inputs.target,
        "image": environment.recipe.image,
        "system-packages": environment.recipe.packages,
        "env": raw.env,
        "config-settings": raw.config_settings,
        "exclude": wheel.inputs.exclude,
        "include": wheel.inputs.include,
        "vendor": if wheel.inputs.system.is_some() { Vendoring::System } else { Vendoring::Vendor },
        "build-tag": wheel.inputs.build_tag.is_some(),
        "network": raw.network,
    })
}

/// Everything that went in, by content.
fn materials(raw: &RawInputs, environment: &EnvironmentRecord) -> Vec<Resource> {
    let mut materials = vec![Resource::file(&raw.source).with("role", json!("source"))];
    for (number, patch) in raw.patches.iter().enumerate() {
        let name = format!("patch {}", number + 1);
        materials.push(Resource::new(name, patch).with("role", json!("patch")));
    }
    for wheel in &raw.build_requires {
        materials.push(Resource::file(wheel).with("role", json!("build requirement")));
    }
    materials.push(Resource::file(&raw.front_end).with("role", json!("front end")));
    if let Some(tree) = &raw.interpreter {
        let name = format!("Python {}", raw.python);
        materials.push(Resource::new(name, tree).with("role", json!("interpreter")));
    }
    materials.push(Resource::new("build scripts", &raw.scripts).with("role", json!("scripts")));
    let recipe = &environment.recipe;
    materials.push(
        Resource::new(&recipe.image, &recipe.image_content).with("role", json!("builder image")),
    );
    let packages: Vec<_> = environment
        .manifest
        .iter()
        .map(|package| format!("{} {} {}", package.name, package.version, package.arch))
        .collect();
    materials.push(
        Resource::new("installed system packages", &raw.manifest)
            .with("role", json!("environment"))
            .with("packages", json!(packages)),
    );
    materials
        .push(Resource::new("library root", &environment.root).with("role", json!("libraries")));
    materials
}

/// Files the statement about `wheel`, unless there is one about the same bytes.
pub(crate) async fn file(
    store: &Store,
    wheel: &WheelRecord,
    raw: &RawRecord,
    environment: &EnvironmentRecord,
) -> Result<(), StoreError> {
    let known: Option<ProvenanceRecord> = store.record(kind::PROVENANCE, &wheel.wheel).await?;
    if known.is_none() {
        let statement = Statement::new(wheel, raw, environment);
        let blob = store.put(statement.to_json()).await?;
        let record = ProvenanceRecord { blob };
        store
            .create_record(kind::PROVENANCE, &wheel.wheel, &record)
            .await?;
    }
    Ok(())
}

/// The statement about the wheel with this digest, as it is stored; none if no build with this store made it.
pub async fn find(store: &Store, wheel: &Digest) -> Result<Option<Bytes>, StoreError> {
    let record: Option<ProvenanceRecord> = store.record(kind::PROVENANCE, wheel).await?;
    match record {
        Some(record) => store.get(&record.blob).await.map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{EnvironmentRecipe, PackageManager, SystemPackage};
    use crate::records::WheelInputs;

    fn records() -> (WheelRecord, RawRecord, EnvironmentRecord) {
        let pinned = |name: &str| PinnedFile {
            name: name.to_owned(),
            sha256: Digest::of(name),
        };
        let environment = EnvironmentRecord {
            generation: 2,
            recipe: EnvironmentRecipe {
                image: "debian-12".to_owned(),
                image_content: Digest::of("image"),
                manager: PackageManager::Apt,
                packages: vec!["libpq-dev".to_owned()],
            },
            manifest: vec![SystemPackage {
                name: "libpq-dev".to_owned(),
                version: "15.8-0+deb12u1".to_owned(),
                arch: "amd64".to_owned(),
            }],
            root: Digest::of("root"),
        };
        let inputs = RawInputs {
            schema: 1,
            project: "psycopg2".parse().unwrap(),
            version: Some("2.9.10".parse().unwrap()),
            subdirectory: None,
            source: pinned("psycopg2-2.9.10.tar.gz"),
            python: "3.11".parse().unwrap(),
            interpreter: Some(Digest::of("python")),
            environment: environment.recipe.digest(),
            manifest: environment.manifest_digest(),
            generation: 2,
            build_requires: vec![pinned("setuptools-80-py3-none-any.whl")],
            front_end: pinned("uv 0.9"),
            scripts: Digest::of("scripts"),
            env: [("CFLAGS".to_owned(), "-O2".to_owned())].into(),
            config_settings: BTreeMap::new(),
            patches: vec![Digest::of("patch")],
            network: false,
        };
        let raw = RawRecord {
            filename: "psycopg2-2.9.10-cp311-cp311-linux_x86_64.whl"
                .parse()
                .unwrap(),
            wheel: Digest::of("raw"),
            log: Digest::of("log"),
            seconds: 12.5,
            inputs,
        };
        let wheel = WheelRecord {
            inputs: WheelInputs {
                schema: 3,
                tool: "wheelfarm 0.1.0".to_owned(),
                raw_filename: raw.filename.clone(),
                raw: raw.wheel,
                raw_key: canonical_digest(&raw.inputs),
                target: "manylinux_2_36_x86_64".parse().unwrap(),
                libraries: environment.root,
                exclude: Vec::new(),
                include: Vec::new(),
                system: None,
                build_tag: Some(2),
            },
            filename: "psycopg2-2.9.10-2wf01234567-cp311-cp311-manylinux_2_34_x86_64.whl"
                .parse()
                .unwrap(),
            wheel: Digest::of("wheel"),
            size: 5,
            vendored: Vec::new(),
            system: Vec::new(),
            modules: Vec::new(),
            seconds: 0.5,
        };
        (wheel, raw, environment)
    }

    #[test]
    fn a_statement_names_everything_that_went_in_and_nothing_of_the_run() {
        let (mut wheel, mut raw, environment) = records();
        let statement = Statement::new(&wheel, &raw, &environment);
        let json = statement.to_json();
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(value["predicateType"], "https://slsa.dev/provenance/v1");
        assert_eq!(
            value["subject"][0]["digest"]["sha256"],
            Digest::of("wheel").to_string()
        );
        let definition = &value["predicate"]["buildDefinition"];
        assert_eq!(definition["externalParameters"]["python"], "3.11");
        let materials = definition["resolvedDependencies"].as_array().unwrap();
        let named: Vec<_> = materials
            .iter()
            .map(|material| {
                (
                    material["annotations"]["role"].as_str().unwrap(),
                    material["digest"]["sha256"].as_str().unwrap(),
                )
            })
            .collect();
        let digest = |text: &str| Digest::of(text).to_string();
        assert_eq!(
            named,
            [
                ("source", digest("psycopg2-2.9.10.tar.gz").as_str()),
                ("patch", &digest("patch")),
                (
                    "build requirement",
                    &digest("setuptools-80-py3-none-any.whl")
                ),
                ("front end", &digest("uv 0.9")),
                ("interpreter", &digest("python")),
                ("scripts", &digest("scripts")),
                ("builder image", &digest("image")),
                ("environment", &environment.manifest_digest().to_string()),
                ("libraries", &digest("root")),
            ]
        );
        assert_eq!(
            materials[7]["annotations"]["packages"][0],
            "libpq-dev 15.8-0+deb12u1 amd64"
        );
        // Another run of the same build: other times and another log.
        (wheel.seconds, raw.seconds, raw.log) = (7.0, 7.0, Digest::of("other log"));
        assert_eq!(Statement::new(&wheel, &raw, &environment).to_json(), json);
        assert_eq!(Statement::parse(&json).unwrap(), statement);
    }

    #[test]
    fn a_statement_is_about_one_file() {
        let (wheel, raw, environment) = records();
        let statement = Statement::new(&wheel, &raw, &environment);
        let other: WheelFilename = "psycopg2-2.9.10-py3-none-any.whl".parse().unwrap();
        let elsewhere = Digest::of("elsewhere");
        assert_eq!(
            statement.check_subject(&wheel.filename, &wheel.wheel),
            Ok(())
        );
        for (name, digest, says) in [
            (&wheel.filename, &elsewhere, "other bytes"),
            (&other, &wheel.wheel, "another name"),
            (&other, &elsewhere, "another file"),
        ] {
            let error = statement.check_subject(name, digest).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn other_claims_are_no_provenance() {
        let (wheel, raw, environment) = records();
        let text = String::from_utf8(
            Statement::new(&wheel, &raw, &environment)
                .to_json()
                .to_vec(),
        )
        .unwrap();
        for (from, to) in [
            ("Statement/v1", "Statement/v9"),
            ("provenance/v1", "verification_summary/v1"),
            ("resolvedDependencies", "dependencies"),
        ] {
            assert!(
                Statement::parse(text.replace(from, to).as_bytes()).is_err(),
                "{to}"
            );
        }
        assert!(Statement::parse(b"{}").is_err());
        assert!(Statement::parse(&vec![b'['; 100_000]).is_err());
    }

    #[tokio::test]
    async fn a_wheel_leads_to_its_statement() {
        let (wheel, raw, environment) = records();
        let store = Store::open("memory:").await.unwrap();
        assert_eq!(find(&store, &wheel.wheel).await.unwrap(), None);
        for _ in 0..2 {
            file(&store, &wheel, &raw, &environment).await.unwrap();
        }
        let json = Statement::new(&wheel, &raw, &environment).to_json();
        assert_eq!(find(&store, &wheel.wheel).await.unwrap(), Some(json));
    }
}
