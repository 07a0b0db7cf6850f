//! Downloading what a lock names, with hash check, into the store.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Url};
use tempfile::NamedTempFile;
use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::{Digest, Hasher};

use crate::http::{chain, host_of};
use crate::{IndexSettings, LockedFile, ResolveError, ResolveErrorKind};

/// No wheel is larger than this, in bytes.
const SIZE_LIMIT: u64 = 4 << 30;
/// No source distribution is, in bytes: it is held in memory while it is looked into.
pub const SOURCE_LIMIT: u64 = 1 << 30;
const ATTEMPTS: u32 = 4;

/// The one HTTP client: it follows the same settings as uv.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    settings: Arc<IndexSettings>,
    store: Store,
    downloaded: Arc<AtomicU64>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

enum Failure {
    /// Worth another try.
    Passing(String),
    Final(ResolveError),
}

/// What happens on this machine does not pass.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Final(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Final(error.into())
    }
}

/// What was downloaded.
struct Got {
    file: NamedTempFile,
    sha256: Digest,
}

/// What is being downloaded.
struct Spooling {
    file: NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl Spooling {
    fn new(file: NamedTempFile) -> Self {
        Self {
            file,
            hasher: Hasher::default(),
            size: 0,
        }
    }

    fn finish(self) -> Got {
        Got {
            file: self.file,
            sha256: self.hasher.finish(),
        }
    }
}

impl Write for Spooling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Fetcher {
    /// A client with `settings` that puts what it fetches into `store`.
    pub fn new(settings: IndexSettings, store: Store) -> Result<Self, ResolveError> {
        let client = settings.client(Duration::from_secs(20), Duration::from_secs(60))?;
        Ok(Self {
            client,
            settings: Arc::new(settings),
            store,
            downloaded: Arc::default(),
        })
    }

    /// How many bytes were downloaded so far.
    pub fn downloaded(&self) -> u64 {
        self.downloaded.load(Ordering::Relaxed)
    }

    /// Puts `file` into the store, unless it is there, and returns its digest: the one the lock gave.
    ///
    /// A passing failure (no connection, a server's 5xx or 429) is tried four times in all.
    pub async fn fetch<N: std::fmt::Display>(
        &self,
        file: &LockedFile<N>,
    ) -> Result<Digest, ResolveError> {
        if self.store.contains(&file.sha256).await? {
            return Ok(file.sha256);
        }
        let got = self.try_get(&file.url, &file.filename.to_string()).await?;
        let found = got.sha256;
        if found != file.sha256 {
            return Err(ResolveError::new(
                ResolveErrorKind::HashMismatch,
                format!("`{}` has the sha256 {found}, but the index says {}", file.filename, file.sha256),
            )
            .hint("the file was changed after it was published, or on its way here; nothing of it was kept"));
        }
        self.store.put_spooled(got.file, &found).await?;
        Ok(found)
    }

    /// What is at `url`, whose digest nothing states. What is made of it is known by the digest of these bytes.
    pub(crate) async fn download(&self, url: &str) -> Result<Bytes, ResolveError> {
        let shown = crate::sources::without_credentials(url);
        let got = self.try_get(url, &shown).await?;
        Ok(fs_err::read(got.file.path())?.into())
    }

    /// `what` names the file in errors.
    async fn try_get(&self, url: &str, what: &str) -> Result<Got, ResolveError> {
        let mut attempt = 1;
        loop {
            match self.get(url).await {
                Ok(got) => return Ok(got),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(message)) if attempt == ATTEMPTS => {
                    return Err(ResolveError::new(
                        ResolveErrorKind::Network,
                        format!("`{what}` could not be downloaded: {message}"),
                    ));
                }
                Err(Failure::Passing(_)) => {
                    tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
                    attempt += 1;
                }
            }
        }
    }

    async fn get(&self, address: &str) -> Result<Got, Failure> {
        let unusable =
            |message: String| Failure::Final(ResolveError::new(ResolveErrorKind::Lock, message));
        let url =
            Url::parse(address).map_err(|e| unusable(format!("`{address}` is no address: {e}")))?;
        if url.scheme() == "store" {
            let message = "a source that was brought to the store is not there any more";
            let error = ResolveError::new(ResolveErrorKind::Store, message);
            return Err(Failure::Final(
                error.hint("run it again: it is brought again"),
            ));
        }
        if url.scheme() == "file" {
            let path = url
                .to_file_path()
                .map_err(|()| unusable(format!("`{address}` is no path")))?;
            let mut spooling = Spooling::new(self.store.spool()?);
            let mut file = fs_err::File::open(path)?;
            io::copy(&mut file, &mut spooling)?;
            return Ok(spooling.finish());
        }
        let host = host_of(&url).ok_or_else(|| unusable(format!("`{address}` has no host")))?;
        let credential = self.settings.credential_for(&url);
        let mut request = self.client.get(url.clone());
        if let Some(credential) = credential {
            request = request.basic_auth(&credential.user, Some(&credential.password));
        }
        let mut response = request
            .send()
            .await
            .map_err(|e| Failure::Passing(chain(&e)))?;
        let status = response.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(Failure::Passing(format!("{host} answers {status}")));
        }
        if !status.is_success() {
            let shown = crate::sources::without_credentials(address);
            let message = format!("{host} answers {status} for `{shown}`");
            let error = ResolveError::new(ResolveErrorKind::Network, message);
            return Err(Failure::Final(match status.as_u16() {
                401 | 403 => error.hint("credentials come from the index address or a netrc file"),
                _ => error,
            }));
        }
        let mut spooling = Spooling::new(self.store.spool()?);
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|e| Failure::Passing(chain(&e)))?
        {
            if spooling.size + chunk.len() as u64 > SIZE_LIMIT {
                return Err(unusable(format!(
                    "`{address}` is larger than {SIZE_LIMIT} bytes"
                )));
            }
            self.downloaded
                .fetch_add(chunk.len() as u64, Ordering::Relaxed);
            spooling.write_all(&chunk)?;
        }
        Ok(spooling.finish())
    }
}
