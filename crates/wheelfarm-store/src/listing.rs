//! What is in a store, counted or object by object.

use std::collections::BTreeMap;

use object_store::path::Path;

use crate::{Amount, Store, StoreError};

/// An object of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path.
    pub path: String,
    /// How large it is, in bytes.
    pub size: u64,
    /// When it was written, in seconds since 1970.
    pub written: u64,
}

impl Store {
    /// All objects below `prefix` (a path; empty: all), by path.
    pub async fn objects_below(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed: Vec<_> = self
            .list(Path::from(prefix).as_ref())
            .await?
            .into_iter()
            .map(|meta| Listed {
                size: meta.size,
                written: u64::try_from(meta.last_modified.timestamp()).unwrap_or(0),
                path: meta.location.into(),
            })
            .collect();
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listed)
    }

    /// How much there is of each kind: `blobs`, `records/raw`, `series/lock`, `logs/index` and so on.
    pub async fn summary(&self) -> Result<BTreeMap<String, Amount>, StoreError> {
        let mut summary: BTreeMap<String, Amount> = BTreeMap::new();
        for object in self.objects_below("").await? {
            let mut parts = object.path.split('/');
            let kind = match (parts.next(), parts.next(), parts.next()) {
                (
                    Some(first @ ("records" | "series" | "logs" | "snapshots")),
                    Some(kind),
                    Some(_),
                ) => {
                    format!("{first}/{kind}")
                }
                (Some(first), Some(_), _) => first.to_owned(),
                _ => continue,
            };
            let amount = summary.entry(kind).or_default();
            amount.objects += 1;
            amount.bytes += object.size;
        }
        Ok(summary)
    }
}
