//! Downloading what a lock names, with hash check, into the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Url};
use wheelfarm_store::Store;
use wheelfarm_types::Digest;

use crate::http::{chain, host_of};
use crate::{IndexSettings, LockedFile, ResolveError, ResolveErrorKind};

/// No source distribution or wheel is larger than this, in bytes.
const SIZE_LIMIT: usize = 4 << 30;
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
        let bytes = self.try_get(&file.url, &file.filename.to_string()).await?;
        let found = Digest::of(&bytes);
        if found != file.sha256 {
            return Err(ResolveError::new(
                ResolveErrorKind::HashMismatch,
                format!("`{}` has the sha256 {found}, but the index says {}", file.filename, file.sha256),
            )
            .hint("the file was changed after it was published, or on its way here; nothing of it was kept"));
        }
        Ok(self.store.put(bytes).await?)
    }

    /// What is at `url`, whose digest nothing states. What is made of it is known by the digest of these bytes.
    pub(crate) async fn download(&self, url: &str) -> Result<Bytes, ResolveError> {
        let shown = crate::sources::without_credentials(url);
        self.try_get(url, &shown).await
    }

    /// `what` names the file in errors.
    async fn try_get(&self, url: &str, what: &str) -> Result<Bytes, ResolveError> {
        let mut attempt = 1;
        loop {
            match self.get(url).await {
                Ok(bytes) => return Ok(bytes),
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

    async fn get(&self, address: &str) -> Result<Bytes, Failure> {
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
            return fs_err::read(path)
                .map(Bytes::from)
                .map_err(|e| Failure::Final(e.into()));
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
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|e| Failure::Passing(chain(&e)))?
        {
            if bytes.len() + chunk.len() > SIZE_LIMIT {
                return Err(unusable(format!(
                    "`{address}` is larger than {SIZE_LIMIT} bytes"
                )));
            }
            self.downloaded
                .fetch_add(chunk.len() as u64, Ordering::Relaxed);
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}
