//! Removing what nothing needs any more.
//!
//! **What is kept.** Roots are the blobs that the caller names (those that the index needs), and every record and
//! series entry younger than the age given, with everything that these name. What a young lock lists counts as named,
//! so that a farm which is built every day keeps its sources. A record that is old stays if it names a root's or a
//! young lock's digest, or the key of a record that stays, or if one that stays names its key. All else that is old
//! goes; a digest is taken for a name wherever it stands in a record, so what is kept is rather too much.
//!
//! **Beside builds and uploads.** Nothing is locked, so between looking and removing anything may be written. A build
//! may find an old blob ([`Store::contains`]) that is marked as garbage at that moment, and then write a record that
//! names it; an upload may find that its bytes are stored, and then write the log. Hence blobs are not removed but
//! moved to `trash/`, from where every reader that misses one takes it back, [`Store::contains`] too. What lies there
//! is removed by a later collection, at least [`Collection::trash_age`] after it came there, and only if that later
//! look finds it still unneeded. So for a blob to be lost, somebody would have to find it, wait for longer than
//! that, a day by default, and then write the record. In detail:
//!
//! - moved after somebody found it: its record is written within the day; the later look sees the record, and moves the
//!   blob back.
//! - found while it lies in the trash: it is moved back by that, before the answer is given. If the removal is faster,
//!   the answer is that it is not there, and it is made again.
//! - written anew while it is moved: either the new one stays, or it is moved too and found there.
//!
//! Lists of what was moved are written before it is moved, so a collection that is killed leaves nothing that later
//! ones do not know. Records are removed before the blobs that only they name.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use wheelfarm_types::Digest;

use crate::progress::{Part, Progress};
use crate::references::digests_in;
use crate::store::{blob_path, to_json, trash_path};
use crate::{Store, StoreError};

/// Objects read at the same time.
const AT_ONCE: usize = 32;
/// Texts that may list other blobs (locks, trees of files) are not larger.
const MAX_LIST: u64 = 8 << 20;
/// Lists of what lies in the trash: `<seconds since 1970>.json`.
const LISTS: &str = "trash/lists";
/// Younger writes may be going on.
const MIN_AGE: u64 = 3600;
/// Leftovers of interrupted writes are removed after so many seconds.
const LEFTOVER_AGE: u64 = 24 * 3600;
/// Snapshots of each log that are kept.
const SNAPSHOTS: usize = 3;

/// What [`Store::collect`] is to do.
#[derive(Debug, Clone)]
pub struct Collection {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// What is younger stays, in seconds; at least an hour.
    pub older_than: u64,
    /// How long blobs lie in the trash, in seconds; at least an hour. Nobody may take longer between finding a blob and
    /// writing a record that names it.
    pub trash_age: u64,
    /// Blobs that stay, with the records that name them.
    pub needed: HashSet<Digest>,
    /// Nothing is changed; the report says what would be.
    pub dry_run: bool,
}

/// A number of things and their size.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// How large together.
    pub bytes: u64,
}

/// What [`Store::collect`] did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Blobs that stay.
    pub kept: Amount,
    /// Blobs moved to the trash.
    pub moved: Amount,
    /// Blobs removed from the trash: this space is free now.
    pub removed: Amount,
    /// Blobs moved back from the trash, since something names them now.
    pub restored: Amount,
    /// Records and series entries removed.
    pub records: Amount,
    /// Snapshots, leases and leftovers of interrupted writes removed.
    pub leftovers: Amount,
}

impl Amount {
    /// How many and how large `metas` are.
    pub(crate) fn of<'a>(metas: impl IntoIterator<Item = &'a ObjectMeta>) -> Self {
        let mut amount = Self::default();
        for meta in metas {
            amount.add(meta.size);
        }
        amount
    }

    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// A record or series entry.
struct Entry {
    meta: ObjectMeta,
    key: Option<Digest>,
    /// Whether it is a record: others may be kept for naming its key.
    is_record: bool,
    is_lock: bool,
    named: Vec<Digest>,
}

impl Store {
    /// Removes what nothing needs; see the module for what that is, and why it can run beside everything else.
    pub async fn collect(&self, wanted: &Collection) -> Result<Collected, StoreError> {
        let mut done = Collected::default();
        let oldest = wanted.now.saturating_sub(wanted.older_than.max(MIN_AGE));
        self.begin(Part::List, None);
        let entries = self.entries().await?;
        let blobs = self.list("blobs").await?;
        let (named, kept) = self.mark(&entries, &blobs, wanted, oldest).await?;
        for (entry, _) in entries.iter().zip(&kept).filter(|(_, kept)| !**kept) {
            done.records.add(entry.meta.size);
            self.remove(&entry.meta.location, wanted.dry_run).await?;
        }
        let mut garbage = BTreeMap::new();
        for meta in &blobs {
            match meta.location.filename().map(str::parse::<Digest>) {
                Some(Ok(digest)) if !named.contains(&digest) && written(meta) < oldest => {
                    garbage.insert(digest.to_string(), (digest, meta.size));
                }
                _ => done.kept.add(meta.size),
            }
        }
        self.begin(Part::Trash, None);
        self.empty_trash(wanted, &named, &mut done).await?;
        if !garbage.is_empty() && !wanted.dry_run {
            let list = Path::from(format!("{LISTS}/{:012}.json", wanted.now));
            let names: Vec<&String> = garbage.keys().collect();
            self.create(&list, to_json(&names, &list)?).await?;
        }
        let mut moving = Amount::default();
        for (_, size) in garbage.values() {
            moving.add(*size);
        }
        self.begin(Part::Move, Some(moving));
        for (digest, size) in garbage.values() {
            done.moved.add(*size);
            self.tell(Progress::Bytes(*size));
            self.tell(Progress::Object);
            if !wanted.dry_run {
                self.rename(&blob_path(digest), &trash_path(digest)).await?;
            }
        }
        self.remove_leftovers(wanted, &mut done).await?;
        Ok(done)
    }

    /// The digests that must stay, and which entries do.
    async fn mark(
        &self,
        entries: &[Entry],
        blobs: &[ObjectMeta],
        wanted: &Collection,
        oldest: u64,
    ) -> Result<(HashSet<Digest>, Vec<bool>), StoreError> {
        let sizes: HashMap<Digest, u64> = blobs
            .iter()
            .filter_map(|meta| Some((meta.location.filename()?.parse().ok()?, meta.size)))
            .collect();
        let mut named = wanted.needed.clone();
        // Who names one of these stays.
        let mut anchors = wanted.needed.clone();
        let mut kept = vec![false; entries.len()];
        let mut read: HashSet<Digest> = HashSet::new();
        loop {
            let mut more = false;
            let mut lists = Vec::new();
            for (entry, kept) in entries.iter().zip(&mut kept) {
                let is_young = written(&entry.meta) >= oldest;
                let stays = is_young
                    || entry.key.is_some_and(|key| named.contains(&key))
                    || entry.named.iter().any(|digest| anchors.contains(digest));
                if *kept || !stays {
                    continue;
                }
                *kept = true;
                more = true;
                named.extend(&entry.named);
                anchors.extend(entry.key.filter(|_| entry.is_record));
                let is_list = |digest: &&Digest| {
                    sizes.get(*digest).is_some_and(|size| *size <= MAX_LIST)
                        && !read.contains(*digest)
                };
                let found: Vec<Digest> = entry.named.iter().filter(is_list).copied().collect();
                read.extend(&found);
                lists.extend(
                    found
                        .into_iter()
                        .map(|digest| (digest, entry.is_lock && is_young)),
                );
            }
            let texts: Vec<(Vec<Digest>, bool)> = futures::stream::iter(lists)
                .map(async |(digest, is_lock)| {
                    let bytes = self.read(&blob_path(&digest)).await?.unwrap_or_default();
                    Ok::<_, StoreError>((digests_in(&bytes), is_lock))
                })
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            for (digests, is_lock) in texts {
                named.extend(&digests);
                if is_lock {
                    anchors.extend(digests);
                }
            }
            if !more {
                return Ok((named, kept));
            }
        }
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut metas = self.list("records").await?;
        metas.extend(self.list("series").await?);
        self.begin(Part::Records, Some(Amount::of(&metas)));
        futures::stream::iter(metas)
            .map(async |meta| {
                let bytes = self.read(&meta.location).await?.unwrap_or_default();
                self.tell(Progress::Bytes(meta.size));
                self.tell(Progress::Object);
                let path = meta.location.as_ref();
                let is_record = path.starts_with("records/");
                let mut parts = path.trim_end_matches(".json").rsplit('/');
                let key = if is_record {
                    parts.next()
                } else {
                    parts.nth(1)
                };
                Ok(Entry {
                    key: key.and_then(|key| key.parse().ok()),
                    is_record,
                    is_lock: path.starts_with("series/lock/"),
                    named: digests_in(&bytes),
                    meta,
                })
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Removes from the trash what has lain there for long enough, and takes back what is named now.
    async fn empty_trash(
        &self,
        wanted: &Collection,
        named: &HashSet<Digest>,
        done: &mut Collected,
    ) -> Result<(), StoreError> {
        let oldest = wanted.now.saturating_sub(wanted.trash_age.max(MIN_AGE));
        let mut since: HashMap<Digest, u64> = HashMap::new();
        let mut over = Vec::new();
        for meta in self.list(LISTS).await? {
            let name = meta.location.filename().unwrap_or_default();
            let Ok(moved) = name.trim_end_matches(".json").parse::<u64>() else {
                continue;
            };
            let digests: Vec<Digest> = self.read_json(&meta.location).await?.unwrap_or_default();
            for digest in digests {
                let last = since.entry(digest).or_default();
                *last = moved.max(*last);
            }
            if moved <= oldest {
                over.push(meta.location);
            }
        }
        for meta in self.list("trash/sha256").await? {
            let Some(Ok(digest)) = meta.location.filename().map(str::parse::<Digest>) else {
                continue;
            };
            if named.contains(&digest) {
                done.restored.add(meta.size);
                if !wanted.dry_run {
                    self.rename(&meta.location, &blob_path(&digest)).await?;
                }
            } else if since.get(&digest).is_none_or(|moved| *moved <= oldest) {
                done.removed.add(meta.size);
                self.remove(&meta.location, wanted.dry_run).await?;
            }
        }
        for list in over {
            self.remove(&list, wanted.dry_run).await?;
        }
        Ok(())
    }

    async fn remove_leftovers(
        &self,
        wanted: &Collection,
        done: &mut Collected,
    ) -> Result<(), StoreError> {
        let oldest = wanted.now.saturating_sub(LEFTOVER_AGE);
        let mut snapshots: BTreeMap<String, Vec<ObjectMeta>> = BTreeMap::new();
        for meta in self.list("snapshots").await? {
            let path = meta.location.as_ref();
            let log = path.rsplit_once('/').map_or("", |(log, _)| log).to_owned();
            snapshots.entry(log).or_default().push(meta);
        }
        let mut old = Vec::new();
        for (_, mut metas) in snapshots {
            metas.sort_by(|a, b| b.location.cmp(&a.location));
            old.extend(metas.into_iter().skip(SNAPSHOTS));
        }
        if self.is_remote() {
            // In a directory they are locks, which go with their owners.
            let leases = self.list("leases").await?;
            old.extend(leases.into_iter().filter(|meta| written(meta) < oldest));
        }
        for meta in old {
            done.leftovers.add(meta.size);
            self.remove(&meta.location, wanted.dry_run).await?;
        }
        if let Some(directory) = self.directory() {
            let failed = |error| StoreError::from_io(&error, self.address());
            let sizes =
                crate::leftovers::remove(directory, oldest, wanted.dry_run).map_err(failed)?;
            for size in sizes {
                done.leftovers.add(size);
            }
        }
        Ok(())
    }

    async fn remove(&self, path: &Path, dry_run: bool) -> Result<(), StoreError> {
        if dry_run {
            return Ok(());
        }
        match self.objects().delete(path).await {
            // Another collection runs at the same time.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::from_object_store(&error, path.as_ref())),
        }
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        match self.objects().rename(from, to).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::from_object_store(&error, from.as_ref())),
        }
    }

    /// All objects below `prefix`, in no order.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.objects()
            .list(Some(&Path::from(prefix)))
            .try_collect()
            .await
            .map_err(|error| StoreError::from_object_store(&error, prefix))
    }
}

/// When an object was written, in seconds since 1970.
fn written(meta: &ObjectMeta) -> u64 {
    u64::try_from(meta.last_modified.timestamp()).unwrap_or(0)
}

#[cfg(test)]
#[path = "gc_tests.rs"]
mod tests;
