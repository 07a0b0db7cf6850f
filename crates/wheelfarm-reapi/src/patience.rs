//! Asking again while an endpoint is away.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::error::is_transient;

/// The first pause; each one doubles, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(3);
/// No deadline is later than this.
const AGES: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How long an endpoint has been away, and how long it may be.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    since: Option<Instant>,
    pause: Duration,
}

impl Patience {
    /// An endpoint may be away for `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            pause: FIRST,
        }
    }

    /// It answered: what was before does not count.
    pub(crate) fn progress(&mut self) {
        self.since = None;
        self.pause = FIRST;
    }

    /// After a failure: waits a while and returns true if it is worth another attempt.
    pub(crate) async fn wait(&mut self, status: &Status) -> bool {
        if !is_transient(status) {
            return false;
        }
        let now = Instant::now();
        let until = later(*self.since.get_or_insert(now), self.limit);
        if now >= until {
            return false;
        }
        // The last attempt is at the end, not a pause before it. What is random keeps clients of a server that
        // comes back from asking all at once.
        sleep(self.pause.mul_f64(0.5 + random() / 2.0).min(until - now)).await;
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}

/// The status of a call of which nothing was heard for so long.
pub(crate) fn silent(limit: Duration) -> Status {
    Status::unavailable(format!("no answer within {} seconds", limit.as_secs()))
}

/// An instant after another. Clocks cannot count as far as durations may be.
pub(crate) fn later(since: Instant, duration: Duration) -> Instant {
    since + duration.min(AGES)
}

/// A number from 0 to 1.
fn random() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
