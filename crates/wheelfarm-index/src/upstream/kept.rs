//! What is kept in the store of the index behind this one: pages, and which blobs came from it. All of it is a cache:
//! what is removed is fetched again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wheelfarm_store::{Created, Store, StoreError};
use wheelfarm_types::{Digest, ProjectName};

use super::page::MirroredProject;

/// Series of pages, by index and project.
const PAGES: &str = "upstream-page";
/// Records of files that were fetched, by digest.
const FILES: &str = "upstream-file";
/// Compression level of pages.
const LEVEL: i32 = 3;

/// An entry of the series of a project's pages.
#[derive(Debug, Serialize, Deserialize)]
struct PageEntry {
    /// The index, without credentials.
    index: String,
    project: ProjectName,
    /// When it was like this for the first time.
    fetched: DateTime<Utc>,
    /// What the index calls this form of it.
    etag: Option<String>,
    /// The page as compressed JSON.
    page: Digest,
}

/// A file that was fetched from the index behind this one, and had the digest that it is kept under. Only such blobs
/// are handed out as files of that index: that a page there names a digest gives nobody a blob of this store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileRecord {
    pub(super) filename: String,
    pub(super) url: String,
    pub(super) size: u64,
    /// The sha256 of its METADATA, as the page said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Digest>,
}

/// A page from the store.
pub(super) struct KeptPage {
    pub(super) number: u64,
    pub(super) etag: Option<String>,
    pub(super) page: MirroredProject,
}

fn key(index: &str, project: &ProjectName) -> Digest {
    Digest::of(format!("{index}\n{project}"))
}

/// The latest page of `project` that any server has kept, and that can be read.
pub(super) async fn page(
    store: &Store,
    index: &str,
    project: &ProjectName,
) -> Result<Option<KeptPage>, StoreError> {
    let key = key(index, project);
    let Some((number, entry)) = store.latest::<PageEntry>(PAGES, &key).await? else {
        return Ok(None);
    };
    if !store.contains(&entry.page).await? {
        return Ok(None);
    }
    let bytes = store.get(&entry.page).await?;
    Ok(unpacked(&bytes).map(|page| KeptPage {
        number,
        etag: entry.etag,
        page,
    }))
}

/// The number of the latest page that is kept, if there is one.
pub(super) async fn latest_number(
    store: &Store,
    index: &str,
    project: &ProjectName,
) -> Result<u64, StoreError> {
    let latest = store
        .latest::<PageEntry>(PAGES, &key(index, project))
        .await?;
    Ok(latest.map_or(0, |(number, _)| number))
}

/// Keeps `page` as the one after number `before`. Another server may be faster: then its page is as good.
pub(super) async fn keep_page(
    store: &Store,
    index: &str,
    project: &ProjectName,
    before: u64,
    etag: Option<String>,
    page: &MirroredProject,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let Some(bytes) = packed(page) else {
        return Ok(before);
    };
    let entry = PageEntry {
        index: index.to_owned(),
        project: project.clone(),
        fetched: now,
        etag,
        page: store.put(bytes.into()).await?,
    };
    let number = before + 1;
    let created = store
        .append(PAGES, &key(index, project), number, &entry)
        .await?;
    if created == Created::Existed {
        tracing::debug!(%project, "another server has kept a page at the same time");
    }
    Ok(number)
}

/// What is known of a blob that was fetched.
pub(super) async fn file(store: &Store, digest: &Digest) -> Result<Option<FileRecord>, StoreError> {
    store.record(FILES, digest).await
}

/// Says that `digest` was fetched.
pub(super) async fn keep_file(
    store: &Store,
    digest: &Digest,
    record: &FileRecord,
) -> Result<(), StoreError> {
    store.create_record(FILES, digest, record).await?;
    Ok(())
}

fn packed(page: &MirroredProject) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(page).ok()?;
    zstd::bulk::compress(&json, LEVEL).ok()
}

fn unpacked(bytes: &[u8]) -> Option<MirroredProject> {
    let decoder = zstd::stream::read::Decoder::new(bytes).ok()?;
    serde_json::from_reader(std::io::BufReader::new(decoder)).ok()
}
