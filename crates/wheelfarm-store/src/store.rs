//! Opening a store, and its blobs, records and series.

use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wheelfarm_types::Digest;

use crate::opening::Clock;
use crate::progress::Watch;
use crate::whole::damaged;
use crate::{StoreError, StoreErrorKind};

/// A store of immutable objects. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) address: String,
    pub(crate) directory: Option<PathBuf>,
    /// Where bytes of a remote store are kept, under the names that they have there.
    pub(crate) cache: Option<PathBuf>,
    pub(crate) clock: Clock,
    /// Is told how far long work is.
    pub(crate) watch: Option<Watch>,
}

/// Whether a create-once object was written by this call or was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// Written now.
    New,
    /// Already there; left as it was.
    Existed,
}

/// What [`Store::get`] holds in memory at most, in bytes.
const MAX_HELD: u64 = 64 << 20;
/// How often an object is tried to be created that a service says exists and does not find.
const CREATE_TRIES: usize = 5;

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.address)
    }
}

impl Store {
    /// Where the store is, as it was given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The directory the store is in, if it is a local one.
    pub fn directory(&self) -> Option<&FsPath> {
        self.directory.as_deref()
    }

    /// Whether the store is reached over the network.
    pub fn is_remote(&self) -> bool {
        self.directory.is_none() && self.address != "memory:"
    }

    /// Stores `bytes` and returns their digest. Storing the same bytes again writes nothing.
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        self.create(&blob_path(&digest), bytes).await?;
        Ok(digest)
    }

    /// The bytes of `digest`, verified, held in memory: for what is small. More than 64 MiB is
    /// [`StoreErrorKind::TooLarge`]; [`Store::whole`] and [`Store::file`] read blobs of any size.
    pub async fn get(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.get_up_to(digest, MAX_HELD).await
    }

    /// Like [`Store::get`], for at most `limit` bytes.
    pub async fn get_up_to(&self, digest: &Digest, limit: u64) -> Result<Bytes, StoreError> {
        let path = blob_path(digest);
        let read = async || {
            let got = self.get_blob(digest).await?;
            if got.meta.size > limit {
                let size = got.meta.size;
                let detail = format!("it has {size} bytes, and at most {limit} are held in memory");
                return Err(StoreError::new(
                    StoreErrorKind::TooLarge,
                    path.as_ref(),
                    detail,
                ));
            }
            let bytes = got.bytes().await;
            bytes.map_err(|error| StoreError::from_object_store(&error, path.as_ref()))
        };
        let mut bytes = read().await?;
        let mut found = Digest::of(&bytes);
        // It may be the copy on this machine that is damaged.
        if found != *digest && self.forget_copy(&path) {
            bytes = read().await?;
            found = Digest::of(&bytes);
        }
        if found == *digest {
            return Ok(bytes);
        }
        Err(damaged(&path, &found))
    }

    /// Whether `digest` is stored. Does not read it.
    pub async fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.has(&blob_path(digest)).await? || self.take_back(digest).await?)
    }

    /// Moves a blob back that a collection of garbage has moved to the trash; whether it was there. Everybody asks who
    /// misses a blob: see [`crate::Collection`].
    pub(crate) async fn take_back(&self, digest: &Digest) -> Result<bool, StoreError> {
        let (from, to) = (trash_path(digest), blob_path(digest));
        match self.objects.rename(&from, &to).await {
            Ok(()) => Ok(true),
            // Somebody else may have been faster.
            Err(Error::NotFound { .. }) => self.has(&to).await,
            Err(error) => Err(StoreError::from_object_store(&error, from.as_ref())),
        }
    }

    /// Where the bytes of `digest` lie: a path, if the store is a directory.
    pub fn locate(&self, digest: &Digest) -> String {
        let path = blob_path(digest);
        match &self.directory {
            Some(directory) => directory.join(path.as_ref()).display().to_string(),
            None => format!("{}/{path}", self.address.trim_end_matches('/')),
        }
    }

    /// The size of `digest` in bytes.
    pub async fn size(&self, digest: &Digest) -> Result<u64, StoreError> {
        let path = blob_path(digest);
        let mut meta = self.objects.head(&path).await;
        if matches!(meta, Err(Error::NotFound { .. })) && self.take_back(digest).await? {
            meta = self.objects.head(&path).await;
        }
        let meta = meta.map_err(|error| StoreError::from_object_store(&error, path.as_ref()))?;
        Ok(meta.size)
    }

    /// The record of `kind` under `key`.
    pub async fn record<T: DeserializeOwned>(
        &self,
        kind: &str,
        key: &Digest,
    ) -> Result<Option<T>, StoreError> {
        self.read_json(&record_path(kind, key)).await
    }

    /// Writes the record of `kind` under `key`, unless there is one: the first writer wins.
    pub async fn create_record<T: Serialize>(
        &self,
        kind: &str,
        key: &Digest,
        value: &T,
    ) -> Result<Created, StoreError> {
        let path = record_path(kind, key);
        self.create(&path, to_json(value, &path)?).await
    }

    /// The keys of all records of `kind`, in no order. They are not read.
    pub async fn records(&self, kind: &str) -> Result<Vec<Digest>, StoreError> {
        let prefix = Path::from(format!("records/{kind}"));
        let names: Vec<_> = self
            .objects
            .list(Some(&prefix))
            .map_ok(|meta| meta.location.filename().map(str::to_owned))
            .try_collect()
            .await
            .map_err(|error| StoreError::from_object_store(&error, prefix.as_ref()))?;
        let key = |name: Option<String>| name?.strip_suffix(".json")?.parse().ok();
        Ok(names.into_iter().filter_map(key).collect())
    }

    /// The newest entry of the series of `kind` under `key`, with its number.
    pub async fn latest<T: DeserializeOwned>(
        &self,
        kind: &str,
        key: &Digest,
    ) -> Result<Option<(u64, T)>, StoreError> {
        let prefix = Path::from(format!("series/{kind}/{key}"));
        let entries: Vec<_> = self
            .objects
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| StoreError::from_object_store(&error, prefix.as_ref()))?;
        let newest = entries
            .iter()
            .filter_map(|meta| {
                meta.location
                    .filename()?
                    .strip_suffix(".json")?
                    .parse::<u64>()
                    .ok()
            })
            .max();
        let Some(number) = newest else {
            return Ok(None);
        };
        let value = self.read_json(&series_path(kind, key, number)).await?;
        Ok(value.map(|value| (number, value)))
    }

    /// Adds entry `number` to the series of `kind` under `key`, unless there is one.
    pub async fn append<T: Serialize>(
        &self,
        kind: &str,
        key: &Digest,
        number: u64,
        value: &T,
    ) -> Result<Created, StoreError> {
        let path = series_path(kind, key, number);
        self.create(&path, to_json(value, &path)?).await
    }

    /// Entry `number` of the series of `kind` under `key`.
    pub async fn entry<T: DeserializeOwned>(
        &self,
        kind: &str,
        key: &Digest,
        number: u64,
    ) -> Result<Option<T>, StoreError> {
        self.read_json(&series_path(kind, key, number)).await
    }

    /// All entries of the series of `kind` and of kinds below it, such as `history/lxml` below `history`: kind, key
    /// and number of each, in no order. They are not read.
    pub async fn series(&self, kind: &str) -> Result<Vec<(String, Digest, u64)>, StoreError> {
        let prefix = Path::from(format!("series/{kind}"));
        let objects: Vec<_> = self
            .objects
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| StoreError::from_object_store(&error, prefix.as_ref()))?;
        Ok(objects
            .iter()
            .filter_map(|meta| series_entry(meta.location.as_ref()))
            .collect())
    }

    pub(crate) fn objects(&self) -> &dyn ObjectStore {
        self.objects.as_ref()
    }

    pub(crate) async fn has(&self, path: &Path) -> Result<bool, StoreError> {
        match self.objects.head(path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(StoreError::from_object_store(&error, path.as_ref())),
        }
    }

    /// Creates the object at `path`, unless there is one.
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> Result<Created, StoreError> {
        for _ in 0..CREATE_TRIES {
            let mode = PutMode::Create.into();
            match self
                .objects
                .put_opts(path, bytes.clone().into(), mode)
                .await
            {
                Ok(_) => return Ok(Created::New),
                // A service says so also while another one creates it, who may yet fail.
                Err(Error::AlreadyExists { .. })
                    if self.directory.is_some() || self.has(path).await? =>
                {
                    return Ok(Created::Existed);
                }
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(StoreError::from_object_store(&error, path.as_ref())),
            }
        }
        let detail = "its service says that it exists, and that it does not";
        Err(StoreError::new(StoreErrorKind::Io, path.as_ref(), detail))
    }

    pub(crate) async fn read(&self, path: &Path) -> Result<Option<Bytes>, StoreError> {
        let read = async { self.objects.get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreError::from_object_store(&error, path.as_ref())),
        }
    }

    pub(crate) async fn read_json<T: DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.read(path).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            StoreError::new(StoreErrorKind::Corrupt, path.as_ref(), error.to_string())
        })
    }
}

pub(crate) fn to_json<T: Serialize>(value: &T, path: &Path) -> Result<Bytes, StoreError> {
    serde_json::to_vec_pretty(value)
        .map(Bytes::from)
        .map_err(|error| StoreError::new(StoreErrorKind::Io, path.as_ref(), error.to_string()))
}

pub(crate) fn blob_path(digest: &Digest) -> Path {
    sharded("blobs/sha256", digest, "")
}

/// Where a collection of garbage moves a blob.
pub(crate) fn trash_path(digest: &Digest) -> Path {
    sharded("trash/sha256", digest, "")
}

fn record_path(kind: &str, key: &Digest) -> Path {
    sharded(&format!("records/{kind}"), key, ".json")
}

/// A place below `folder`, among at most 256 folders.
fn sharded(folder: &str, digest: &Digest, ending: &str) -> Path {
    let hex = digest.to_string();
    let shard: String = hex.chars().take(2).collect();
    Path::from(format!("{folder}/{shard}/{hex}{ending}"))
}

fn series_path(kind: &str, key: &Digest, number: u64) -> Path {
    Path::from(format!("series/{kind}/{key}/{number:012}.json"))
}

/// The reverse of [`series_path`].
fn series_entry(path: &str) -> Option<(String, Digest, u64)> {
    let (rest, number) = path
        .strip_prefix("series/")?
        .strip_suffix(".json")?
        .rsplit_once('/')?;
    let (kind, key) = rest.rsplit_once('/')?;
    Some((kind.to_owned(), key.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opening::LAYOUT_FILE;

    async fn local() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("s").to_str().unwrap())
            .await
            .unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn blobs_come_back_and_are_verified() {
        let (dir, store) = local().await;
        let digest = store.put("hello".into()).await.unwrap();
        assert_eq!(store.put("hello".into()).await.unwrap(), digest);
        assert_eq!(store.get(&digest).await.unwrap(), "hello");
        let file = store.locate(&digest);
        assert!(file.starts_with(dir.path().to_str().unwrap()), "{file}");
        fs_err::write(file, "hullo").unwrap();
        assert_eq!(
            store.get(&digest).await.unwrap_err().kind(),
            StoreErrorKind::Corrupt
        );
        let absent = Digest::of("absent");
        assert!(!store.contains(&absent).await.unwrap());
        assert_eq!(
            store.get(&absent).await.unwrap_err().kind(),
            StoreErrorKind::NotFound
        );
    }

    #[tokio::test]
    async fn the_first_record_wins() {
        for store in [local().await.1, Store::open("memory:").await.unwrap()] {
            let key = Digest::of("key");
            assert_eq!(
                store.create_record("k", &key, &1).await.unwrap(),
                Created::New
            );
            assert_eq!(
                store.create_record("k", &key, &2).await.unwrap(),
                Created::Existed
            );
            assert_eq!(store.record::<u8>("k", &key).await.unwrap(), Some(1));
            assert_eq!(store.record::<u8>("other", &key).await.unwrap(), None);
            assert_eq!(store.records("k").await.unwrap(), [key]);
            assert_eq!(store.records("other").await.unwrap(), []);
        }
    }

    #[tokio::test]
    async fn the_highest_number_is_the_latest() {
        let (_dir, store) = local().await;
        let key = Digest::of("key");
        assert_eq!(store.latest::<u8>("env", &key).await.unwrap(), None);
        for number in [1, 10, 9] {
            store.append("env", &key, number, &number).await.unwrap();
        }
        assert_eq!(
            store.latest::<u8>("env", &key).await.unwrap(),
            Some((10, 10))
        );
    }

    #[tokio::test]
    async fn series_are_listed_by_kind_and_by_what_it_begins_with() {
        let (_dir, store) = local().await;
        let key = Digest::of("key");
        for (kind, number) in [("h/a", 7), ("h/ab", 8), ("other", 9)] {
            store.append(kind, &key, number, &number).await.unwrap();
        }
        let of = async |kind: &str| {
            let mut found = store.series(kind).await.unwrap();
            found.sort();
            found
        };
        let a = ("h/a".to_owned(), key, 7);
        assert_eq!(of("h/a").await, std::slice::from_ref(&a));
        assert_eq!(of("h").await, [a, ("h/ab".to_owned(), key, 8)]);
        assert_eq!(of("none").await, []);
        assert_eq!(store.entry("h/a", &key, 7).await.unwrap(), Some(7));
        assert_eq!(store.entry::<u8>("h/a", &key, 8).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_newer_layout_is_refused() {
        let (dir, _store) = local().await;
        let path = dir.path().join("s");
        fs_err::write(path.join(LAYOUT_FILE), r#"{"version": 99}"#).unwrap();
        let error = Store::open(path.to_str().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Layout);
        assert!(error.to_string().contains("version 99"), "{error}");
    }

    #[tokio::test]
    async fn other_addresses_are_refused() {
        let error = Store::open("ftp://bucket").await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Address);
    }
}
