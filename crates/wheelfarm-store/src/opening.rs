//! Opening a store: finding it, and finding out whether it can be trusted.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use wheelfarm_types::Digest;

use crate::address::{Address, Service};
use crate::cache::{self, Cached};
use crate::remote::{Patience, client};
use crate::store::to_json;
use crate::{Created, Store, StoreError, StoreErrorKind};

/// The layout that this version reads and writes; it rises when an older version could misread the new one.
const LAYOUT_VERSION: u32 = 1;
/// The object that says which layout a store has.
pub(crate) const LAYOUT_FILE: &str = "wheelfarm-store.json";

/// Says what time it is, in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a store is opened, beside its address.
#[derive(Clone)]
pub struct Settings {
    /// Options of a remote store by name, as the environment variables of its service are called in lower case:
    /// `aws_endpoint_url`, `aws_access_key_id`, `google_service_account`, `azure_storage_account_key`, `allow_http`
    /// and so on; `ca_bundle` is a text of certificates in PEM that are trusted beside the host's. What a service does
    /// not know is passed over.
    pub options: Vec<(String, String)>,
    /// Where what was read of a remote store is kept, if anywhere.
    pub cache: Option<CacheSettings>,
    /// The time, for leases in a remote store.
    pub clock: Clock,
}

/// A directory in front of a remote store.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// The directory. Stores have a directory each in it.
    pub directory: PathBuf,
    /// Bytes that it may hold, about.
    pub limit: u64,
}

impl Default for Settings {
    /// No options, no cache, and a clock that stands still: for stores of this machine.
    fn default() -> Self {
        Self {
            options: Vec::new(),
            cache: None,
            clock: Arc::new(|| 0),
        }
    }
}

impl std::fmt::Debug for Settings {
    /// Without the options' values, of which some are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.options.iter().map(|(name, _)| name).collect();
        write!(f, "Settings({names:?}, {:?})", self.cache)
    }
}

#[derive(Serialize, Deserialize)]
struct Layout {
    version: u32,
    /// Tells the store from another one at the same address, later. Older stores have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Store {
    /// Opens the store at `address` with [`Settings::default`].
    pub async fn open(address: &str) -> Result<Self, StoreError> {
        Self::open_with(address, Settings::default()).await
    }

    /// Opens the store at `address` and checks its layout: a directory (made if missing), `memory:`, or `s3://`,
    /// `gs://` or `az://` with a bucket (which must exist) and a prefix.
    ///
    /// A remote store that lets two writers create one object is refused.
    pub async fn open_with(address: &str, settings: Settings) -> Result<Self, StoreError> {
        let store = |objects, directory| Self {
            objects,
            address: address.to_owned(),
            directory,
            cache: None,
            clock: Arc::clone(&settings.clock),
            watch: None,
        };
        match Address::parse(address)? {
            Address::Memory => {
                let store = store(Arc::new(InMemory::new()) as Arc<dyn ObjectStore>, None);
                store.check_layout().await?;
                Ok(store)
            }
            Address::Directory(path) => {
                let io_error = |error: std::io::Error| StoreError::from_io(&error, address);
                fs_err::create_dir_all(&path).map_err(io_error)?;
                let path = fs_err::canonicalize(path).map_err(io_error)?;
                // What was acknowledged must be there after a power cut.
                let objects = LocalFileSystem::new_with_prefix(&path)
                    .map_err(|error| StoreError::from_object_store(&error, address))?
                    .with_fsync(true);
                let store = store(Arc::new(objects), Some(path));
                store.check_layout().await?;
                Ok(store)
            }
            Address::Remote {
                service,
                bucket,
                prefix,
            } => {
                let client =
                    |patience| client(service, &bucket, &prefix, &settings.options, patience);
                let first = store(client(Patience::First)?, None);
                let id = first.check_remote(service).await?;
                let mut later = store(client(Patience::Later)?, None);
                if let Some(settings) = &settings.cache {
                    let name = Digest::of(format!("{address}\n{id}")).short();
                    let directory = settings.directory.join(name);
                    let cached =
                        Cached::open(Arc::clone(&later.objects), &directory, settings.limit)
                            .map_err(|error| {
                                StoreError::from_io(&error, &directory.display().to_string())
                            })?;
                    later.objects = Arc::new(cached);
                    later.cache = Some(directory);
                }
                Ok(later)
            }
        }
    }

    /// Reads the layout, writes it if there is none, and returns its text and the store's identity.
    async fn check_layout(&self) -> Result<(Bytes, String), StoreError> {
        let path = Path::from(LAYOUT_FILE);
        let text = if let Some(text) = self.read(&path).await? {
            text
        } else {
            let ours = Layout {
                version: LAYOUT_VERSION,
                id: Some(random_id(self.address())?),
            };
            let text = to_json(&ours, &path)?;
            match self.create(&path, text.clone()).await? {
                Created::New => text,
                // Another process makes the store at the same time.
                Created::Existed => self.read(&path).await?.unwrap_or(text),
            }
        };
        let layout: Layout = serde_json::from_slice(&text).map_err(|error| {
            StoreError::new(StoreErrorKind::Corrupt, path.as_ref(), error.to_string())
        })?;
        if layout.version > LAYOUT_VERSION {
            let version = layout.version;
            let detail = format!(
                "its layout is version {version} and this program knows up to {LAYOUT_VERSION}: update wheelfarm, or use another store"
            );
            return Err(StoreError::new(
                StoreErrorKind::Layout,
                self.address(),
                detail,
            ));
        }
        Ok((text, layout.id.unwrap_or_default()))
    }

    /// The layout, and whether the service keeps its word: an object that exists must not be created again. Everything
    /// that has one winner depends on it.
    async fn check_remote(&self, service: Service) -> Result<String, StoreError> {
        let (text, id) = self
            .check_layout()
            .await
            .map_err(|error| first_failure(error, service, self.address()))?;
        match self.create(&Path::from(LAYOUT_FILE), text).await {
            Ok(Created::Existed) => Ok(id),
            // Who may only read cannot break anything.
            Err(error) if error.kind() == StoreErrorKind::Denied => Ok(id),
            Ok(Created::New) => Err(StoreError::new(
                StoreErrorKind::Address,
                self.address(),
                "its server overwrites objects where it is told to create them (`If-None-Match: *`): two writers could both win, so it cannot be a store",
            )),
            Err(error) => Err(error),
        }
    }
}

/// What the first error of a service means for who has given its address.
fn first_failure(error: StoreError, service: Service, address: &str) -> StoreError {
    let text = error.to_string();
    // What is not there is no error when it is read. When it is created, then where it should be is not there.
    let detail = if error.kind() == StoreErrorKind::NotFound {
        "there is no such bucket: make it first".to_owned()
    } else if error.kind() == StoreErrorKind::Denied {
        let hint = service.credentials_hint();
        return StoreError::new(error.kind(), address, format!("{text}; {hint}"));
    } else if error.kind() == StoreErrorKind::Io {
        let hint = service.credentials_hint();
        format!("{service} does not answer as it should: {text}; {hint}")
    } else {
        return error;
    };
    StoreError::new(StoreErrorKind::Address, address, detail)
}

fn random_id(address: &str) -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::new(StoreErrorKind::Io, address, error.to_string()))?;
    Ok(Digest::of(bytes).short())
}

impl Store {
    /// Where bytes of a remote store are kept on this machine, if they are.
    pub fn cache_directory(&self) -> Option<&std::path::Path> {
        self.cache.as_deref()
    }

    /// The file in the cache that has the object at `path`, if there is one; it counts as used now.
    pub(crate) fn cached_file(&self, path: &Path) -> Option<fs_err::File> {
        let file = fs_err::File::open(self.cache.as_ref()?.join(path.as_ref())).ok()?;
        cache::mark_used(file.file());
        Some(file)
    }

    /// Removes the object at `path` from the cache; whether it was there.
    pub(crate) fn forget_copy(&self, path: &Path) -> bool {
        let copy = self.cache.as_ref().map(|cache| cache.join(path.as_ref()));
        copy.is_some_and(|copy| fs_err::remove_file(copy).is_ok())
    }
}
