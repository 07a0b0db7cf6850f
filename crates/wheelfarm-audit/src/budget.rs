//! Bounding what several threads hold in memory at once.

use std::sync::{Condvar, Mutex, PoisonError};

/// An amount of memory that threads share.
pub(crate) struct Budget {
    limit: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

/// Gives the amount back, also when the work panics.
struct Share<'a>(&'a Budget, u64);

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Mutex::new(0),
            freed: Condvar::new(),
        }
    }

    /// Does `work`, which needs `amount`, as soon as there is so much left. What needs more than there ever is
    /// waits until it is alone. `work` must not wait for other users of the budget.
    pub(crate) fn with<T>(&self, amount: u64, work: impl FnOnce() -> T) -> T {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && used.saturating_add(amount) > self.limit {
            used = self
                .freed
                .wait(used)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(amount);
        drop(used);
        let _share = Share(self, amount);
        work()
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(self.1);
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_more_than_the_limit_is_used_at_once() {
        let budget = Budget::new(10);
        let (now, most, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for amount in [4, 4, 4, 4, 25, 4, 10, 0] {
                let (budget, now, most, done) = (&budget, &now, &most, &done);
                scope.spawn(move || {
                    budget.with(amount, || {
                        let used = now.fetch_add(amount, Ordering::SeqCst) + amount;
                        most.fetch_max(if used == 25 { 0 } else { used }, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(amount, Ordering::SeqCst);
                    });
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
        assert!(most.into_inner() <= 10);
    }
}
