//! How far a download is, in lines that are worth showing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Downloads are reported this many times.
const STEPS: u64 = 20;
const MEGABYTE: u64 = 1_000_000;

/// What was shown of a download.
#[derive(Debug, Default)]
pub(crate) struct Downloaded {
    shown: AtomicU64,
}

impl Downloaded {
    /// A line for `done` of `total` bytes, if it is time for one.
    pub(crate) fn line(&self, done: u64, total: u64) -> Option<String> {
        let step = (total / STEPS).max(10 * MEGABYTE);
        let shown = self.shown.load(Ordering::Relaxed);
        if done < shown.saturating_add(step) {
            return None;
        }
        // Of those who download at the same time one shows it.
        let order = Ordering::Relaxed;
        let is_first = self.shown.compare_exchange(shown, done, order, order);
        is_first.ok()?;
        Some(format!(
            "downloaded {} of {} MB",
            done / MEGABYTE,
            total / MEGABYTE
        ))
    }
}
