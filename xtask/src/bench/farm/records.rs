//! What the farm's store says of a run: which system packages and variables its builds had.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use wheelfarm_tests::anyhow::Result;

/// What records of a store hold, as far as it is wanted here.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// System packages of all environments.
    pub(super) system: BTreeSet<String>,
    /// Environment variables that some builds had and others did not.
    pub(super) variables: BTreeMap<String, String>,
}

impl Records {
    pub(super) fn read(store: &Path) -> Result<Self> {
        let mut records = Self::default();
        for file in files(&store.join("series/environment"))? {
            let record: Value = serde_json::from_slice(&fs_err::read(file)?)?;
            let packages = record["recipe"]["packages"].as_array();
            let packages = packages.into_iter().flatten().filter_map(Value::as_str);
            records.system.extend(packages.map(str::to_owned));
        }
        let mut builds = Vec::new();
        for file in files(&store.join("records/raw-wheel"))? {
            let record: Value = serde_json::from_slice(&fs_err::read(file)?)?;
            builds.push(variables(&record["inputs"]));
        }
        let (all, every) = (builds.iter().flatten(), builds.len());
        for variable in all {
            let having = builds.iter().filter(|build| build.contains(variable));
            if having.count() < every {
                records.variables.extend([variable.clone()]);
            }
        }
        Ok(records)
    }
}

fn variables(inputs: &Value) -> BTreeSet<(String, String)> {
    let variables = inputs["env"].as_object().into_iter().flatten();
    variables
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// All files below a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
