//! Memory that is used again.

use std::sync::{Mutex, PoisonError};

/// Things that were used and can be used again, as many as there were users at once. Fresh memory for every file would
/// cost more than what is done with it: the kernel has to make each page of it.
#[derive(Debug, Default)]
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    /// Does `work` with one of them.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut one = self.free().pop().unwrap_or_default();
        let result = work(&mut one);
        self.free().push(one);
        result
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_comes_back() {
        let pool = Pool::<Vec<u8>>::default();
        pool.with(|outer| {
            outer.push(1);
            pool.with(|inner| assert!(inner.is_empty()));
        });
        let both = pool.with(|first| pool.with(|second| first.len() + second.len()));
        assert_eq!(both, 1);
    }
}
