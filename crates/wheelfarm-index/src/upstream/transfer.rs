//! Files of the index behind this one on their way to the store: each is fetched once, however many clients ask for
//! it, and they get its bytes as they come.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flate2::read::GzDecoder;
use http::{StatusCode, header};
use reqwest::Response;
use tokio::sync::Semaphore;
use wheelfarm_resolve::chain;
use wheelfarm_store::Store;
use wheelfarm_types::Digest;

use super::client::{Client, Failure, is_encoded};
use super::counts::Counts;
use super::kept::{self, FileRecord};
use super::spool::{Follower, Growing, Progress, Writer};
use crate::Problem;

/// How often a file is asked for before it is given up; what came so far is not asked for again.
const ATTEMPTS: u32 = 3;
/// Before the second attempt; then twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// What is left when nobody reads any more is fetched all the same if it is no more than this, in bytes, or no more
/// than what is there.
const REST: u64 = 8 << 20;

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// What its bytes must be.
    pub(super) sha256: Digest,
    /// How many, if the page said.
    pub(super) size: Option<u64>,
    pub(super) filename: String,
    pub(super) url: String,
    /// The sha256 of its METADATA, as the page said.
    pub(super) metadata: Option<Digest>,
}

/// All files that are being fetched.
pub(super) struct Transfers {
    client: Arc<Client>,
    store: Store,
    counts: Arc<Counts>,
    running: Mutex<HashMap<Digest, Arc<Growing>>>,
    permits: Semaphore,
}

/// Why an attempt ended.
enum End {
    /// Worth another try.
    Passing(Failure),
    Final(Failure),
    /// Nobody wants it any more.
    Abandoned,
}

impl Transfers {
    pub(super) fn new(client: Arc<Client>, store: Store, counts: Arc<Counts>) -> Self {
        Self {
            permits: Semaphore::new(client.limits.transfers),
            client,
            store,
            counts,
            running: Mutex::default(),
        }
    }

    /// Follows the file: one that is being fetched already, or it begins now.
    pub(super) fn follow(self: &Arc<Self>, wanted: Wanted) -> Follower {
        let mut running = self.running();
        if let Some(growing) = running.get(&wanted.sha256) {
            return growing.follow();
        }
        let growing = Arc::new(Growing::new());
        let follower = growing.follow();
        running.insert(wanted.sha256, Arc::clone(&growing));
        drop(running);
        let transfers = Arc::clone(self);
        tokio::spawn(async move { transfers.run(&wanted, &growing).await });
        follower
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Growing>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, wanted: &Wanted, growing: &Arc<Growing>) {
        let ended = self.fetch(wanted, growing).await;
        // Who comes from now on finds it in the store, or begins anew.
        self.forget(wanted, growing);
        match ended {
            Ok(size) => growing.set(Progress::Verified { size }),
            Err(failure) if !growing.is_followed() => {
                tracing::debug!(
                    file = wanted.filename,
                    ?failure,
                    "a file that nobody waits for was given up"
                );
            }
            Err(failure) => {
                Counts::up(&self.counts.failures);
                tracing::warn!(
                    file = wanted.filename,
                    url = wanted.url,
                    ?failure,
                    "a file of the upstream index was not had"
                );
                growing.set(Progress::Failed(failure));
            }
        }
    }

    fn forget(&self, wanted: &Wanted, growing: &Arc<Growing>) {
        let mut running = self.running();
        // It may be another one by now: this one was abandoned, and somebody came again.
        if running
            .get(&wanted.sha256)
            .is_some_and(|there| Arc::ptr_eq(there, growing))
        {
            running.remove(&wanted.sha256);
        }
    }

    /// Fetches, verifies and keeps the file; its size.
    async fn fetch(&self, wanted: &Wanted, growing: &Arc<Growing>) -> Result<u64, Failure> {
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|error| Failure::Down(error.to_string()))?;
        let mut writer = self.spool()?;
        let mut attempt = 1;
        loop {
            if self.is_abandoned(wanted, growing) {
                return Err(abandoned());
            }
            let (after, ended) = self.attempt(wanted, growing, writer).await;
            match (after, ended) {
                (Some(after), Ok(())) => {
                    writer = after;
                    break;
                }
                (Some(after), Err(End::Passing(_))) if attempt < ATTEMPTS => {
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                    writer = after;
                }
                (_, Err(End::Passing(failure) | End::Final(failure))) => return Err(failure),
                (_, Err(End::Abandoned)) => {
                    return Err(abandoned());
                }
                (None, Ok(())) => return Err(own("the spool is gone")),
            }
        }
        self.keep(wanted, growing, writer).await
    }

    /// One attempt to get what is missing. The writer comes back unless the disk failed.
    async fn attempt(
        &self,
        wanted: &Wanted,
        growing: &Arc<Growing>,
        mut writer: Writer,
    ) -> (Option<Writer>, Result<(), End>) {
        Counts::up(&self.counts.file_requests);
        let from = writer.written;
        let response = match self.client.open(&wanted.url, from).await {
            Ok(response) => response,
            Err(failure @ Failure::Down(_)) => return (Some(writer), Err(End::Passing(failure))),
            Err(failure) => return (Some(writer), Err(End::Final(failure))),
        };
        let (mut skip, total) = match beginning(&response, from) {
            Ok(found) => found,
            Err(failure) => return (Some(writer), Err(End::Final(failure))),
        };
        let encoded = is_encoded(response.headers());
        if encoded && from > 0 {
            // Bytes of two codings cannot be put together.
            let failure = Failure::Bad("it was compressed in a second answer".to_owned());
            return (Some(writer), Err(End::Final(failure)));
        }
        let limit = self.client.limits.file;
        if let Err(failure) = checked_size(wanted, total.filter(|_| !encoded), limit) {
            return (Some(writer), Err(End::Final(failure)));
        }
        let total = total.filter(|_| !encoded);
        let flowing = |written| Progress::Flowing { written, total };
        if !encoded {
            match writer.reader() {
                Ok(file) => growing.show(&file, flowing(from)),
                Err(error) => return (None, Err(End::Final(own(error)))),
            }
        }
        let mut response = response;
        loop {
            let mostly = total.is_some_and(|total| {
                let left = total.saturating_sub(writer.written);
                left <= writer.written.max(REST)
            });
            let chunk = tokio::select! {
                chunk = response.chunk() => chunk,
                () = growing.abandoned(), if !mostly => {
                    if self.is_abandoned(wanted, growing) {
                        return (Some(writer), Err(End::Abandoned));
                    }
                    continue;
                }
            };
            let mut chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    let failure = End::Passing(Failure::Down(chain(&error)));
                    if !encoded {
                        return (Some(writer), Err(failure));
                    }
                    // Of something compressed the beginning is worth nothing.
                    return match self.spool() {
                        Ok(fresh) => (Some(fresh), Err(failure)),
                        Err(failure) => (None, Err(End::Final(failure))),
                    };
                }
            };
            self.counts.bytes.inc_by(chunk.len() as u64);
            // An answer that begins at the beginning again.
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            drop(chunk.split_to(known));
            if chunk.is_empty() {
                continue;
            }
            let most = wanted.size.filter(|_| !encoded).unwrap_or(limit).min(limit);
            if writer.written + chunk.len() as u64 > most {
                let failure = Failure::Bad(format!("it has more than {most} bytes"));
                return (Some(writer), Err(End::Final(failure)));
            }
            writer = match writer.add(chunk).await {
                Ok(writer) => writer,
                Err(error) => return (None, Err(End::Final(own(error)))),
            };
            if !encoded {
                growing.set(flowing(writer.written));
            }
        }
        if let Some(total) = total
            && writer.written < total
        {
            let failure = Failure::Down("the connection ended too early".to_owned());
            return (Some(writer), Err(End::Passing(failure)));
        }
        if !encoded || writer.digest() == wanted.sha256 {
            // Some servers say of a `.tar.gz` that it is compressed for the way, and mean the file itself.
            return (Some(writer), Ok(()));
        }
        match self.gunzipped(writer).await {
            Ok(writer) => (Some(writer), Ok(())),
            Err(failure) => (None, Err(End::Final(failure))),
        }
    }

    /// Whether really nobody follows: decided while nobody can begin to. Then it is forgotten.
    fn is_abandoned(&self, wanted: &Wanted, growing: &Arc<Growing>) -> bool {
        let mut running = self.running();
        if growing.is_followed() {
            return false;
        }
        // Only this one can be there: as long as it is, nobody begins another.
        running.remove(&wanted.sha256);
        true
    }

    /// Verifies what was written and makes it a blob.
    async fn keep(
        &self,
        wanted: &Wanted,
        growing: &Arc<Growing>,
        writer: Writer,
    ) -> Result<u64, Failure> {
        let found = writer.digest();
        if found != wanted.sha256 {
            return Err(Failure::Bad(format!(
                "its sha256 is {found}, and must be {}; nothing of it was kept",
                wanted.sha256
            )));
        }
        let size = writer.written;
        let file = writer.reader().map_err(own)?;
        let record = FileRecord {
            filename: wanted.filename.clone(),
            url: wanted.url.clone(),
            size,
            metadata: wanted.metadata,
        };
        let kept = async {
            self.store.put_spooled(writer.spool, &wanted.sha256).await?;
            kept::keep_file(&self.store, &wanted.sha256, &record).await
        };
        if let Err(error) = kept.await {
            // Those who wait can have it all the same.
            tracing::error!(%error, file = wanted.filename, "a file was not kept");
        }
        growing.show(&file, Progress::Verified { size });
        Ok(size)
    }

    /// What is compressed in `writer`, in a spool of its own.
    async fn gunzipped(&self, writer: Writer) -> Result<Writer, Failure> {
        let mut plain = self.spool()?;
        let limit = self.client.limits.file;
        let unpacked = tokio::task::spawn_blocking(move || {
            let mut decoder = GzDecoder::new(writer.spool.reopen()?).take(limit + 1);
            let mut chunk = vec![0; 128 << 10];
            loop {
                let length = decoder.read(&mut chunk)?;
                if length == 0 {
                    return Ok::<_, io::Error>(plain);
                }
                let read = chunk.get(..length).unwrap_or_default();
                plain.spool.write_all(read)?;
                plain.hasher.update(read);
                plain.written += length as u64;
            }
        });
        match unpacked.await {
            Ok(Ok(plain)) if plain.written <= limit => Ok(plain),
            Ok(Ok(_)) => Err(Failure::Bad(format!("it has more than {limit} bytes"))),
            Ok(Err(error)) => Err(Failure::Bad(format!("it is said to be gzip: {error}"))),
            Err(error) => Err(own(error)),
        }
    }

    fn spool(&self) -> Result<Writer, Failure> {
        let spool = self.store.spool();
        spool
            .map(Writer::new)
            .map_err(|error| Failure::Own(error.into()))
    }
}

fn abandoned() -> Failure {
    Failure::Down("nobody waited for it any more".to_owned())
}

/// How much of an answer is known already, and how large the whole file is, if the answer says it.
fn beginning(response: &Response, from: u64) -> Result<(u64, Option<u64>), Failure> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok((from, response.content_length()));
    }
    let range = response.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|value| value.to_str().ok()).unwrap_or("");
    let parts = range
        .strip_prefix("bytes ")
        .and_then(|range| range.split_once('/'));
    let begins = parts.and_then(|(range, _)| range.split_once('-')?.0.parse().ok());
    if begins != Some(from) {
        return Err(Failure::Bad(format!(
            "another range than the one that was asked for: `{range}`"
        )));
    }
    Ok((0, parts.and_then(|(_, total)| total.parse().ok())))
}

/// Refuses what cannot be right or is too large before any of it comes.
fn checked_size(wanted: &Wanted, total: Option<u64>, limit: u64) -> Result<(), Failure> {
    match (wanted.size, total) {
        (Some(size), Some(total)) if size != total => Err(Failure::Bad(format!(
            "it has {total} bytes, and must have {size}"
        ))),
        (Some(size), _) | (None, Some(size)) if size > limit => {
            Err(Failure::Bad(format!("it has more than {limit} bytes")))
        }
        _ => Ok(()),
    }
}

/// A failure of this server.
fn own(error: impl std::fmt::Display) -> Failure {
    tracing::error!(%error, "a file of the upstream index could not be written down");
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the file could not be written down",
    );
    Failure::Own(problem)
}
