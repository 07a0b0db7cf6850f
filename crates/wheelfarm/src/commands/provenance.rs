//! Writes what is known of wheels beside them: `<wheel>.provenance.json`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wheelfarm_build::provenance::{self, PAYLOAD_TYPE};
use wheelfarm_coordinator::{BuiltWheel, write_atomic};
use wheelfarm_store::Store;

use crate::dsse::SigningKey;
use crate::exit::Failure;

/// Where the statement about a wheel lies beside it.
pub(crate) fn beside(wheel: &Path) -> PathBuf {
    let mut name = wheel.as_os_str().to_owned();
    name.push(".provenance.json");
    name.into()
}

/// Writes the statement about every wheel in `directory` that we built, signed if there is a key: then as an
/// envelope. Wheels of the index have none. Returns the files.
pub(crate) async fn write(
    store: &Store,
    wheels: &[BuiltWheel],
    directory: &Path,
    key: Option<&SigningKey>,
) -> Result<Vec<PathBuf>, Failure> {
    let mut written = BTreeSet::new();
    for wheel in wheels {
        let artifact = &wheel.artifact;
        let path = beside(&directory.join(artifact.filename.to_string()));
        if written.contains(&path) {
            continue;
        }
        let Some(statement) = provenance::find(store, &artifact.wheel).await? else {
            continue;
        };
        let bytes = match key {
            Some(key) => serde_json::to_vec(&key.sign(PAYLOAD_TYPE, &statement))
                .map_err(|error| Failure::machine(error.to_string()))?,
            None => statement.to_vec(),
        };
        if fs_err::read(&path).is_ok_and(|present| present == bytes) {
            written.insert(path);
            continue;
        }
        write_atomic(&path, &bytes).map_err(|error| {
            Failure::machine(format!("the provenance could not be written: {error}"))
        })?;
        written.insert(path);
    }
    Ok(written.into_iter().collect())
}
