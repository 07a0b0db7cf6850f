//! Logs: numbered, immutable entries in one total order, with snapshots of what they come to.
//!
//! Entry `n + 1` can be created once. Who creates it has seen all entries up to `n`; so what it decided from them
//! still holds when it is written, however many processes write at the same time. This is what makes a name in the
//! index mean one file: the check and the publication are one step.

use std::fmt;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::to_json;
use crate::{Created, Store, StoreError};

/// Entries that are fetched at the same time.
const AT_ONCE: usize = 64;
/// About as many entries are read at once, if there are so many.
const BATCH: u64 = 1024;

/// The log of one name in a store. Numbers begin with 1 and have no gaps.
#[derive(Clone)]
pub struct Log {
    store: Store,
    name: &'static str,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} of {:?})", self.name, self.store)
    }
}

impl Store {
    /// The log called `name`.
    pub fn log(&self, name: &'static str) -> Log {
        Log {
            store: self.clone(),
            name,
        }
    }
}

impl Log {
    /// Creates entry `number`, unless there is one: then somebody else was first, and [`Log::after`] has it.
    ///
    /// `number` must be one more than the last entry that the caller knows.
    pub async fn append<T: Serialize>(
        &self,
        number: u64,
        entry: &T,
    ) -> Result<Created, StoreError> {
        let path = self.entry_path(number);
        self.store.create(&path, to_json(entry, &path)?).await
    }

    /// Whether there is an entry `number`. Asked often, by those who wait for it.
    pub async fn has(&self, number: u64) -> Result<bool, StoreError> {
        self.store.has(&self.entry_path(number)).await
    }

    /// The next entries after `number`, in order: some, not all, if there are many. None if there are none.
    ///
    /// They are asked for by number, since listing a log takes longer the longer it is: one, and more at a time the
    /// more there are.
    pub async fn after<T: DeserializeOwned>(
        &self,
        number: u64,
    ) -> Result<Vec<(u64, T)>, StoreError> {
        let mut entries = Vec::new();
        let mut wanted = 1;
        while wanted <= BATCH {
            let first = number + 1 + entries.len() as u64;
            let read = futures::stream::iter(first..first + wanted)
                .map(async |number| {
                    let entry = self.store.read_json(&self.entry_path(number)).await?;
                    Ok::<_, StoreError>(entry.map(|entry| (number, entry)))
                })
                .buffered(AT_ONCE)
                .try_take_while(|entry| futures::future::ready(Ok(entry.is_some())))
                .try_collect::<Vec<Option<(u64, T)>>>()
                .await?;
            let whole = read.len() as u64 == wanted;
            entries.extend(read.into_iter().flatten());
            if !whole {
                break;
            }
            wanted *= 4;
        }
        Ok(entries)
    }

    /// Keeps `snapshot`, what entries up to `number` come to, so that nobody has to read those again.
    pub async fn put_snapshot(&self, number: u64, snapshot: Bytes) -> Result<Created, StoreError> {
        self.store
            .create(&self.snapshot_path(number), snapshot)
            .await
    }

    /// The snapshots there are, latest first.
    pub async fn snapshots(&self) -> Result<Vec<u64>, StoreError> {
        let prefix = Path::from(format!("snapshots/{}", self.name));
        let listed: Vec<_> = self
            .store
            .objects()
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| StoreError::from_object_store(&error, prefix.as_ref()))?;
        let mut numbers: Vec<u64> = listed
            .iter()
            .filter_map(|meta| meta.location.filename()?.parse().ok())
            .collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// The snapshot of entries up to `number`.
    pub async fn snapshot(&self, number: u64) -> Result<Option<Bytes>, StoreError> {
        self.store.read(&self.snapshot_path(number)).await
    }

    fn entry_path(&self, number: u64) -> Path {
        Path::from(format!("logs/{}/{number:012}.json", self.name))
    }

    fn snapshot_path(&self, number: u64) -> Path {
        Path::from(format!("snapshots/{}/{number:012}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entries_have_one_order_and_one_writer_each() {
        let dir = tempfile::tempdir().unwrap();
        for address in [dir.path().to_str().unwrap(), "memory:"] {
            let log = Store::open(address).await.unwrap().log("index");
            assert_eq!(log.after::<String>(0).await.unwrap(), []);
            for number in 1..=12 {
                let created = log.append(number, &format!("entry {number}")).await;
                assert_eq!(created.unwrap(), Created::New);
            }
            assert_eq!(log.append(12, &"late").await.unwrap(), Created::Existed);
            let entries = log.after::<String>(9).await.unwrap();
            let expected = [10, 11, 12].map(|number| (number, format!("entry {number}")));
            assert_eq!(entries, expected);
            assert!(log.has(12).await.unwrap());
            assert!(!log.has(13).await.unwrap());
        }
    }

    #[tokio::test]
    async fn what_follows_a_gap_is_not_read() {
        let log = Store::open("memory:").await.unwrap().log("index");
        for number in [1, 2, 4] {
            log.append(number, &number).await.unwrap();
        }
        assert_eq!(log.after::<u64>(0).await.unwrap(), [(1, 1), (2, 2)]);
    }

    #[tokio::test]
    async fn the_latest_snapshot_comes_first() {
        let log = Store::open("memory:").await.unwrap().log("index");
        assert!(log.snapshots().await.unwrap().is_empty());
        for number in [9, 10] {
            let text = format!("up to {number}");
            log.put_snapshot(number, text.into()).await.unwrap();
        }
        assert_eq!(log.snapshots().await.unwrap(), [10, 9]);
        assert_eq!(log.snapshot(10).await.unwrap().unwrap(), "up to 10");
        assert_eq!(log.snapshot(11).await.unwrap(), None);
    }
}
