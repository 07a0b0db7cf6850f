//! Reading everything in a store and saying what is not as it should be.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use wheelfarm_types::{Digest, Hasher};

use crate::progress::{Part, Progress};
use crate::store::blob_path;
use crate::{Amount, Store, StoreError};

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

/// Blobs that were read.
#[derive(Default)]
struct Seen {
    whole: HashSet<Digest>,
    rotten: HashSet<Digest>,
}

impl Store {
    /// Reads every object: blobs must have their digest, records and logs must be JSON, logs have no gaps, and every
    /// blob that a record names (in a member called `blob`, `wheel`, `log`, `root`, `lock` or `tree`) or that is among
    /// `needed` must be there.
    ///
    /// With `repair`, damaged objects are removed: they can be made again. What cannot be, a log, stays.
    pub async fn verify(
        &self,
        repair: bool,
        needed: &HashSet<Digest>,
    ) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        let list = async |part: Part, prefix: &str| -> Result<Vec<Path>, StoreError> {
            self.begin(Part::List, None);
            let metas = self.list(prefix).await?;
            self.begin(part, Some(Amount::of(&metas)));
            let mut paths: Vec<_> = metas.into_iter().map(|meta| meta.location).collect();
            paths.sort();
            Ok(paths)
        };
        let mut damaged = Vec::new();
        let mut seen = Seen::default();
        for path in list(Part::Blobs, "blobs").await? {
            report.blobs += 1;
            let (digest, size) = self.digest_of(&path).await?;
            self.tell(Progress::Object);
            report.bytes += size;
            if path == blob_path(&digest) {
                seen.whole.insert(digest);
                continue;
            }
            let named = path.filename().and_then(|name| name.parse::<Digest>().ok());
            seen.rotten.extend(named);
            damaged.push((path, format!("its bytes have the digest {digest}")));
        }
        // What lies in the trash comes back when it is asked for.
        for path in list(Part::Trash, "trash/sha256").await? {
            let named = path.filename().and_then(|name| name.parse::<Digest>().ok());
            seen.whole.extend(named);
        }
        for prefix in ["records", "series"] {
            for path in list(Part::Records, prefix).await? {
                report.records += 1;
                let Some(bytes) = self.read(&path).await? else {
                    continue; // Removed meanwhile.
                };
                report.bytes += bytes.len() as u64;
                self.tell(Progress::Bytes(bytes.len() as u64));
                self.tell(Progress::Object);
                match serde_json::from_slice::<serde_json::Value>(&bytes) {
                    Ok(value) => {
                        for digest in blob_references(&value) {
                            if let Some(state) = self.lacks(&digest, &seen).await? {
                                let what = format!("it names the blob {digest}, which is {state}");
                                damaged.push((path, what));
                                break;
                            }
                        }
                    }
                    Err(error) => damaged.push((path, error.to_string())),
                }
            }
        }
        for digest in needed {
            if let Some(state) = self.lacks(digest, &seen).await? {
                report.problems.push(Problem {
                    object: blob_path(digest).to_string(),
                    what: format!("the index needs it, and it is {state}"),
                });
            }
        }
        self.verify_logs(&list(Part::Logs, "logs").await?, &mut report)
            .await?;
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

    /// What is wrong with a blob that something names, if anything is.
    async fn lacks(
        &self,
        digest: &Digest,
        seen: &Seen,
    ) -> Result<Option<&'static str>, StoreError> {
        Ok(if seen.whole.contains(digest) {
            None
        } else if seen.rotten.contains(digest) {
            Some("damaged")
        } else if self.contains(digest).await? {
            // It was written after blobs were listed, by a build that goes on meanwhile.
            None
        } else {
            Some("not there")
        })
    }

    /// Logs are not repaired: what is lost of one is lost.
    async fn verify_logs(
        &self,
        paths: &[Path],
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let mut last: HashMap<String, u64> = HashMap::new();
        for path in paths {
            report.records += 1;
            let bytes = self.read(path).await?.unwrap_or_default();
            report.bytes += bytes.len() as u64;
            self.tell(Progress::Bytes(bytes.len() as u64));
            self.tell(Progress::Object);
            let mut problem = |what: String| {
                report.problems.push(Problem {
                    object: path.to_string(),
                    what,
                });
            };
            if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
                problem(error.to_string());
            }
            let (log, name) = path.as_ref().rsplit_once('/').unwrap_or_default();
            let Some(number) = name
                .strip_suffix(".json")
                .and_then(|name| name.parse().ok())
            else {
                problem("it has no number".to_owned());
                continue;
            };
            let before = last.insert(log.to_owned(), number).unwrap_or(0);
            if number != before + 1 {
                problem(format!(
                    "the entries between {before} and {number} are not there"
                ));
            }
        }
        for path in self.list("snapshots").await? {
            let (name, number) = path.location.as_ref().rsplit_once('/').unwrap_or_default();
            let log = name.replacen("snapshots", "logs", 1);
            let end = last.get(&log).copied().unwrap_or(0);
            if number.parse::<u64>().is_ok_and(|number| number > end) {
                report.problems.push(Problem {
                    object: path.location.to_string(),
                    what: format!("it is of more entries than the log has, which ends at {end}"),
                });
            }
        }
        Ok(())
    }

    async fn digest_of(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let mut hasher = Hasher::default();
        let mut size = 0;
        let mut chunks = self.chunks(path).await?;
        while let Some(chunk) = chunks.try_next().await? {
            hasher.update(&chunk);
            size += chunk.len() as u64;
            self.tell(Progress::Bytes(chunk.len() as u64));
        }
        Ok((hasher.finish(), size))
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
    async fn what_was_written_after_the_listing_is_there() {
        let store = Store::open("memory:").await.unwrap();
        let late = store.put("late".into()).await.unwrap();
        let seen = Seen::default();
        assert_eq!(store.lacks(&late, &seen).await.unwrap(), None);
        let absent = store.lacks(&Digest::of("absent"), &seen).await.unwrap();
        assert_eq!(absent, Some("not there"));
    }

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
        assert_eq!(
            store.verify(false, &HashSet::new()).await.unwrap().problems,
            []
        );

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
        let report = store.verify(true, &HashSet::new()).await.unwrap();
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
        assert_eq!(
            store.verify(false, &HashSet::new()).await.unwrap().problems,
            []
        );
        assert_eq!(store.get(&good).await.unwrap(), "good");
    }

    #[tokio::test]
    async fn logs_have_no_gaps_and_needed_blobs_are_there() {
        let store = Store::open("memory:").await.unwrap();
        let log = store.log("index");
        for number in [1, 2, 4] {
            log.append(number, &number).await.unwrap();
        }
        log.put_snapshot(5, "s".into()).await.unwrap();
        let missing = Digest::of("missing");
        let report = store.verify(true, &[missing].into()).await.unwrap();
        let about = |part: &str| {
            let mut problems = report.problems.iter();
            problems.any(|problem| problem.object.contains(part))
        };
        assert_eq!(report.problems.len(), 3, "{:?}", report.problems);
        assert!(about("logs/index/000000000004") && about("snapshots/index"));
        assert!(about(&missing.to_string()));
        assert!(log.has(4).await.unwrap());
    }
}
