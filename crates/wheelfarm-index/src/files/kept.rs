//! What is kept of files that are asked for often: the bytes of small ones, and large ones open.
//!
//! A name in a directory costs more to look up than most METADATA costs to send. Nothing kept can be wrong, as blobs
//! never change; files are opened again after a few seconds all the same, so that one that was removed gives back its
//! place on the disk, and one that was damaged and repaired is not served as it was.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wheelfarm_types::Digest;

/// A blob of no more bytes is kept whole.
pub(super) const SMALL: u64 = 64 << 10;
/// Bytes of small blobs that are kept in a generation.
const BYTES: u64 = 16 << 20;
/// Files that are kept open in a generation.
const FILES: u64 = 128;
/// For how long.
const OPEN: Duration = Duration::from_secs(5);

/// What is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    small: Mutex<Generations<Bytes>>,
    open: Mutex<Generations<(Instant, Arc<File>)>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            small: Mutex::new(Generations::new(BYTES)),
            open: Mutex::new(Generations::new(FILES)),
        }
    }
}

impl Kept {
    /// The bytes of a small blob.
    pub(super) fn small(&self, digest: &Digest) -> Option<Bytes> {
        let mut small = self.small.lock().unwrap_or_else(PoisonError::into_inner);
        small.get(digest)
    }

    /// Keeps the bytes of a small blob.
    pub(super) fn keep_small(&self, digest: Digest, bytes: Bytes) {
        let mut small = self.small.lock().unwrap_or_else(PoisonError::into_inner);
        small.insert(digest, bytes.len() as u64, bytes);
    }

    /// A file that was opened a moment ago.
    pub(super) fn open(&self, digest: &Digest) -> Option<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, file) = open.get(digest)?;
        (since.elapsed() < OPEN).then_some(file)
    }

    /// Keeps a file open.
    pub(super) fn keep_open(&self, digest: Digest, file: Arc<File>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(digest, 1, (Instant::now(), file));
    }
}

/// What was used lately, in two generations: when the younger one is full, the older one is forgotten.
#[derive(Debug)]
struct Generations<T> {
    young: HashMap<Digest, (u64, T)>,
    old: HashMap<Digest, (u64, T)>,
    weight: u64,
    limit: u64,
}

impl<T: Clone> Generations<T> {
    /// None of them gets heavier than `limit`.
    fn new(limit: u64) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            weight: 0,
            limit,
        }
    }

    fn get(&mut self, digest: &Digest) -> Option<T> {
        if let Some((_, value)) = self.young.get(digest) {
            return Some(value.clone());
        }
        let (weight, value) = self.old.remove(digest)?;
        self.insert(*digest, weight, value.clone());
        Some(value)
    }

    fn insert(&mut self, digest: Digest, weight: u64, value: T) {
        if self.weight + weight > self.limit {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        if let Some((before, _)) = self.young.insert(digest, (weight, value)) {
            self.weight = self.weight.saturating_sub(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut kept = Generations::new(10);
        let digest = |number: u32| Digest::of(number.to_le_bytes());
        for number in 0..100 {
            kept.insert(digest(number), 1, number);
            assert_eq!(kept.get(&digest(0)), Some(0));
            assert!(kept.young.len() + kept.old.len() <= 20);
        }
        assert_eq!(kept.get(&digest(99)), Some(99));
        assert_eq!(kept.get(&digest(50)), None);
        // The same again weighs nothing more.
        for _ in 0..100 {
            kept.insert(digest(99), 1, 99);
        }
        assert_eq!(kept.get(&digest(0)), Some(0));
    }
}
