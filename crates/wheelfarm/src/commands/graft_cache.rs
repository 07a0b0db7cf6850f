//! Grafted libraries of one call, in memory: each is edited and compressed once, however many wheels vendor it.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use wheelfarm_repair::GraftCache;
use wheelfarm_types::Digest;
use wheelfarm_wheel::Deflated;

/// Shared by all wheels of a call.
#[derive(Debug, Default)]
pub(crate) struct Grafts {
    /// None: some thread is at it.
    known: Mutex<HashMap<Digest, Option<Deflated>>>,
    changed: Condvar,
}

/// One wheel's way to the shared libraries. What it took on and did not deliver is free again when it is dropped,
/// so that a wheel that fails holds up no other.
#[derive(Debug)]
pub(crate) struct GraftsOfWheel<'a> {
    grafts: &'a Grafts,
    taken: Mutex<Vec<Digest>>,
}

impl Grafts {
    /// For the repair of one wheel, on one thread.
    pub(crate) fn for_wheel(&self) -> GraftsOfWheel<'_> {
        GraftsOfWheel {
            grafts: self,
            taken: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Option<Deflated>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GraftCache for GraftsOfWheel<'_> {
    /// Waits for a thread that is at the same library. None: now it is the caller's, who has to [`Self::put`] it.
    fn get(&self, key: &Digest) -> Option<Deflated> {
        let mut known = self.grafts.known();
        loop {
            match known.get(key) {
                Some(Some(library)) => return Some(library.clone()),
                Some(None) => {
                    let woken = self.grafts.changed.wait(known);
                    known = woken.unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        known.insert(*key, None);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(*key);
        None
    }

    fn put(&self, key: &Digest, library: &Deflated) {
        self.grafts.known().insert(*key, Some(library.clone()));
        self.grafts.changed.notify_all();
    }
}

impl Drop for GraftsOfWheel<'_> {
    fn drop(&mut self) {
        let taken = self.taken.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.grafts.known();
        for key in taken {
            if known.get(key).is_some_and(Option::is_none) {
                known.remove(key);
            }
        }
        self.grafts.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_made_once() {
        let grafts = Grafts::default();
        let key = Digest::of("key");
        let made = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let cache = grafts.for_wheel();
                    if cache.get(&key).is_none() {
                        made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        cache.put(&key, &Deflated::of("library"));
                    }
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
        assert!(grafts.for_wheel().get(&key).is_some());
    }

    #[test]
    fn a_failure_leaves_it_to_the_next() {
        let grafts = Grafts::default();
        let key = Digest::of("key");
        assert!(grafts.for_wheel().get(&key).is_none());
        assert!(grafts.for_wheel().get(&key).is_none());
    }
}
