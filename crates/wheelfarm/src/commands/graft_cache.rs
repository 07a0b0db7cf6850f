//! Grafted libraries of one call, in memory: each is edited and compressed once, however many wheels vendor it.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use wheelfarm_repair::{GraftCache, Make, RepairError};
use wheelfarm_types::Digest;
use wheelfarm_wheel::Deflated;

/// Shared by all wheels of a call.
#[derive(Debug, Default)]
pub(crate) struct Grafts {
    /// None: some thread is at it.
    known: Mutex<HashMap<Digest, Option<Deflated>>>,
    changed: Condvar,
}

/// A library that this thread has taken on. Dropped without one, it leaves the library to the next.
struct Claim<'a> {
    grafts: &'a Grafts,
    key: Digest,
}

impl Grafts {
    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Option<Deflated>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GraftCache for Grafts {
    /// Waits for a thread that is at the same library.
    fn get_or_make(&self, key: &Digest, make: Make<'_>) -> Result<Deflated, RepairError> {
        let mut known = self.known();
        while let Some(library) = known.get(key) {
            if let Some(library) = library {
                return Ok(library.clone());
            }
            let woken = self.changed.wait(known);
            known = woken.unwrap_or_else(PoisonError::into_inner);
        }
        known.insert(*key, None);
        drop(known);
        let _claim = Claim {
            grafts: self,
            key: *key,
        };
        let library = make()?;
        self.known().insert(*key, Some(library.clone()));
        Ok(library)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut known = self.grafts.known();
        if known.get(&self.key).is_some_and(Option::is_none) {
            known.remove(&self.key);
        }
        drop(known);
        self.grafts.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_library_is_made_once() {
        let grafts = Grafts::default();
        let key = Digest::of("key");
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let make = || {
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(Deflated::of("library"))
                    };
                    let library = grafts.get_or_make(&key, &make).unwrap();
                    assert_eq!(library, Deflated::of("library"));
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn a_failure_leaves_it_to_the_next() {
        let grafts = Grafts::default();
        let key = Digest::of("key");
        let fail = || Err(RepairError::Changed("library".to_owned()));
        assert!(grafts.get_or_make(&key, &fail).is_err());
        let make = || Ok(Deflated::of("library"));
        assert!(grafts.get_or_make(&key, &make).is_ok());
    }
}
