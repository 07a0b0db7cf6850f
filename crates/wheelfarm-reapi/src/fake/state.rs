//! What the server has, was asked, and is to do wrong.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::Options;
use super::operations::{Running, Step};
use crate::digest::BlobDigest;

/// Decides what becomes of an action.
pub type Worker = Arc<dyn Fn(&State, &BlobDigest) -> Vec<Step> + Send + Sync>;

/// How a stream of an execution ends before its time.
#[derive(Debug, Clone)]
pub enum Break {
    /// As if all were said.
    End,
    /// With a status.
    Status(Status),
}

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// Instance or resource name, as far as there is one.
    pub name: String,
    /// Its headers.
    pub metadata: MetadataMap,
}

/// What the server has, was asked, and is to do wrong.
#[derive(Debug)]
pub struct State {
    pub(super) options: Options,
    inner: Mutex<Inner>,
    /// What [`Step::Wait`] waits for.
    pub(super) gate: Semaphore,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) blobs: HashMap<BlobDigest, Bytes>,
    pub(super) partial: HashMap<String, Vec<u8>>,
    pub(super) results: HashMap<BlobDigest, proto::ActionResult>,
    pub(super) operations: HashMap<String, Running>,
    pub(super) cancelled: Vec<String>,
    pub(super) worker: Option<Worker>,
    pub(super) break_streams: VecDeque<(usize, Break)>,
    pub(super) break_reads: VecDeque<usize>,
    pub(super) break_writes: VecDeque<usize>,
    pub(super) corrupt: HashSet<BlobDigest>,
    failures: HashMap<&'static str, VecDeque<Status>>,
    calls: Vec<Call>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

impl State {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            inner: Mutex::default(),
            gate: Semaphore::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a blob into storage.
    pub fn put(&self, content: impl Into<Bytes>) -> BlobDigest {
        let content = content.into();
        let digest = BlobDigest::of(&content);
        self.lock().blobs.insert(digest, content);
        digest
    }

    /// Puts content into storage that is not what `digest` says.
    pub fn put_as(&self, digest: BlobDigest, content: impl Into<Bytes>) {
        self.lock().blobs.insert(digest, content.into());
    }

    /// A blob of storage.
    pub fn blob(&self, digest: &BlobDigest) -> Option<Bytes> {
        self.lock().blobs.get(digest).cloned()
    }

    /// How many blobs are in storage.
    pub fn blobs(&self) -> usize {
        self.lock().blobs.len()
    }

    /// Takes a blob out of storage, as if it had expired.
    pub fn expire(&self, digest: &BlobDigest) {
        self.lock().blobs.remove(digest);
    }

    /// Sends other content for this digest from now on.
    pub fn corrupt(&self, digest: &BlobDigest) {
        self.lock().corrupt.insert(*digest);
    }

    /// Puts a result into the action cache.
    pub fn put_result(&self, action: &BlobDigest, result: proto::ActionResult) {
        self.lock().results.insert(*action, result);
    }

    /// Decides from now on what becomes of actions. Without a worker all succeed at once.
    pub fn work(&self, worker: impl Fn(&State, &BlobDigest) -> Vec<Step> + Send + Sync + 'static) {
        self.lock().worker = Some(Arc::new(worker));
    }

    /// Lets one [`Step::Wait`] go on.
    pub fn proceed(&self) {
        self.gate.add_permits(1);
    }

    /// Forgets all operations, as a server without a database does when it starts again.
    pub fn forget_operations(&self) {
        self.lock().operations.clear();
    }

    /// How much was said of an operation: one for each step that can be seen.
    pub fn said(&self, name: &str) -> usize {
        let inner = self.lock();
        inner
            .operations
            .get(name)
            .map_or(0, |operation| operation.said.borrow().len())
    }

    /// Names of operations that were cancelled.
    pub fn cancelled(&self) -> Vec<String> {
        self.lock().cancelled.clone()
    }

    /// Refuses the next call of `method` that was not refused yet.
    pub fn fail_next(&self, method: &'static str, status: Status) {
        self.lock()
            .failures
            .entry(method)
            .or_default()
            .push_back(status);
    }

    /// Ends the next stream of an execution that has no such order yet, after as many messages.
    pub fn break_stream(&self, after: usize, how: Break) {
        self.lock().break_streams.push_back((after, how));
    }

    /// Breaks the next read that has no such order yet, after as many bytes.
    pub fn break_read(&self, after: usize) {
        self.lock().break_reads.push_back(after);
    }

    /// Breaks the next write that has no such order yet, after as many bytes.
    pub fn break_write(&self, after: usize) {
        self.lock().break_writes.push_back(after);
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How often `method` was called.
    pub fn count(&self, method: &str) -> usize {
        self.lock()
            .calls
            .iter()
            .filter(|call| call.method == method)
            .count()
    }

    /// Notes a call; an error if it is to be refused.
    pub(super) fn enter<T>(
        &self,
        method: &'static str,
        name: &str,
        request: &Request<T>,
    ) -> Result<(), Status> {
        let mut inner = self.lock();
        inner.calls.push(Call {
            method,
            name: name.to_owned(),
            metadata: request.metadata().clone(),
        });
        match inner.failures.get_mut(method).and_then(VecDeque::pop_front) {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }

    /// A blob as it is sent: other content if it is corrupt.
    pub(super) fn sent(&self, digest: &BlobDigest) -> Option<Bytes> {
        let inner = self.lock();
        let content = inner.blobs.get(digest)?;
        if !inner.corrupt.contains(digest) {
            return Some(content.clone());
        }
        let mut other = content.to_vec();
        if let Some(last) = other.last_mut() {
            *last ^= 1;
        }
        Some(other.into())
    }
}
