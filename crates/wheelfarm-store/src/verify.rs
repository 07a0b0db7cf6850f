//! Reading everything in a store and saying what is not as it should be.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use wheelfarm_types::{Digest, Hasher};

use crate::store::blob_path;
use crate::{Store, StoreError};

/// What [`Store::verify`] found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blobs read.
    pub blobs: u64,
    /// Records and series entries read.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// An object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path in the store.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

impl Store {
    /// Reads every object: blobs must have their digest, records must be JSON, and every digest that a record
    /// names as a stored blob (a member called `blob`, `wheel`, `log`, `root`, `lock` or `tree`) must be there.
    ///
    /// With `repair`, damaged objects are removed: they can be made again.
    pub async fn verify(&self, repair: bool) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        let list = async |prefix: &str| -> Result<Vec<Path>, StoreError> {
            let mut paths: Vec<_> = self
                .objects()
                .list(Some(&Path::from(prefix)))
                .map_ok(|meta| meta.location)
                .try_collect()
                .await
                .map_err(|error| StoreError::from_object_store(&error, prefix))?;
            paths.sort();
            Ok(paths)
        };
        let mut damaged = Vec::new();
        for path in list("blobs").await? {
            report.blobs += 1;
            let (digest, size) = self.digest_of(&path).await?;
            report.bytes += size;
            if path.filename() != Some(&digest.to_string()) {
                let what = format!("its bytes have the digest {digest}");
                damaged.push((path, what));
            }
        }
        for prefix in ["records", "series"] {
            for path in list(prefix).await? {
                report.records += 1;
                let read = async { self.objects().get(&path).await?.bytes().await };
                let bytes = read
                    .await
                    .map_err(|error| StoreError::from_object_store(&error, path.as_ref()))?;
                report.bytes += bytes.len() as u64;
                match serde_json::from_slice::<serde_json::Value>(&bytes) {
                    Ok(value) => {
                        for digest in blob_references(&value) {
                            let rotten =
                                damaged.iter().any(|(path, _)| *path == blob_path(&digest));
                            if rotten || !self.contains(&digest).await? {
                                damaged.push((
                                    path.clone(),
                                    format!(
                                        "it names the blob {digest}, which is {}",
                                        if rotten { "damaged" } else { "not there" }
                                    ),
                                ));
                            }
                        }
                    }
                    Err(error) => damaged.push((path, error.to_string())),
                }
            }
        }
        for (path, what) in damaged {
            if repair {
                self.objects()
                    .delete(&path)
                    .await
                    .map_err(|error| StoreError::from_object_store(&error, path.as_ref()))?;
            }
            let object = path.to_string();
            report.problems.push(Problem { object, what });
        }
        Ok(report)
    }

    async fn digest_of(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let read = async {
            let mut hasher = Hasher::default();
            let mut size = 0;
            let mut chunks = self.objects().get(path).await?.into_stream();
            while let Some(chunk) = chunks.try_next().await? {
                hasher.update(&chunk);
                size += chunk.len() as u64;
            }
            Ok((hasher.finish(), size))
        };
        read.await.map_err(|error: object_store::Error| {
            StoreError::from_object_store(&error, path.as_ref())
        })
    }
}

/// The members of records that name a stored blob.
const BLOB_MEMBERS: [&str; 6] = ["blob", "wheel", "log", "root", "lock", "tree"];

fn blob_references(value: &serde_json::Value) -> Vec<Digest> {
    match value {
        serde_json::Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str().map(str::parse) {
                Some(Ok(digest)) if BLOB_MEMBERS.contains(&name.as_str()) => vec![digest],
                _ => blob_references(value),
            })
            .collect(),
        serde_json::Value::Array(items) => items.iter().flat_map(blob_references).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finds_damage_and_repairs_it() {
        let store = Store::open("memory:").await.unwrap();
        let good = store.put("good".into()).await.unwrap();
        let key = Digest::of("key");
        store
            .create_record(
                "raw",
                &key,
                &serde_json::json!({"wheel": good, "other": Digest::of("x")}),
            )
            .await
            .unwrap();
        assert_eq!(store.verify(false).await.unwrap().problems, []);

        let bad = crate::store::blob_path(&Digest::of("something else"));
        store.objects().put(&bad, "bytes".into()).await.unwrap();
        let missing = Digest::of("missing");
        store
            .append(
                "env",
                &key,
                1,
                &serde_json::json!({"nested": [{"root": missing}]}),
            )
            .await
            .unwrap();
        let report = store.verify(true).await.unwrap();
        assert_eq!(
            (report.blobs, report.records, report.problems.len()),
            (2, 2, 2)
        );
        assert!(
            report
                .problems
                .iter()
                .any(|problem| problem.what.contains(&missing.to_string()))
        );
        assert_eq!(store.verify(false).await.unwrap().problems, []);
        assert_eq!(store.get(&good).await.unwrap(), "good");
    }
}
