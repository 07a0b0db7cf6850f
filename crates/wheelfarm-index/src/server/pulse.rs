//! What a connection is doing, and when it has been doing nothing for too long.
//!
//! Requests only set and count; one look every few seconds decides. So limits cost requests nothing, and are met a
//! little late.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Timeouts;

/// A body moves if so many bytes of it do within the time for which it may stand still.
const MOVING: u64 = 4 << 10;
/// Looks within the shortest limit.
const LOOKS: u32 = 3;

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Pulse {
    begun: Instant,
    /// Requests whose answers are not finished.
    active: AtomicU32,
    /// When there was last one of these, in milliseconds since it began.
    quiet: AtomicU64,
    /// When the first byte of what may become a request came after that, in the same; 0: none has.
    heard: AtomicU64,
    /// Bytes that were received and sent.
    moved: AtomicU64,
    /// The client does not take what is sent.
    blocked: AtomicBool,
    /// The body of a request is waited for.
    hungry: AtomicBool,
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooSlow {
    /// No request came: this is how most connections end.
    Idle,
    /// The head of a request did not come to its end.
    Head,
    /// A body stood still.
    Body,
}

impl TooSlow {
    /// A word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "head",
            Self::Body => "body",
        }
    }
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            active: AtomicU32::new(0),
            quiet: AtomicU64::new(0),
            // Who connects has something to say.
            heard: AtomicU64::new(1),
            moved: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            hungry: AtomicBool::new(false),
        }
    }

    /// A request's head was read.
    pub(super) fn request_begins(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.heard.store(0, Ordering::Relaxed);
    }

    /// Its answer was taken, or will not be.
    pub(super) fn request_ends(&self) {
        self.quiet.store(self.now(), Ordering::Relaxed);
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes were received.
    pub(super) fn received(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        if self.is_quiet() && self.heard.load(Ordering::Relaxed) == 0 {
            self.heard.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Bytes were sent, or the client took none.
    pub(super) fn sent(&self, bytes: Option<u64>) {
        self.blocked.store(bytes.is_none(), Ordering::Relaxed);
        self.moved.fetch_add(bytes.unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether the body of a request is waited for.
    pub(super) fn waits_for_body(&self, waits: bool) {
        self.hungry.store(waits, Ordering::Relaxed);
    }

    /// Whether no request is being answered.
    pub(super) fn is_quiet(&self) -> bool {
        self.active.load(Ordering::Relaxed) == 0
    }

    /// Waits until the connection is too slow for `timeouts`. `heads`: whether bytes between requests begin one (in
    /// HTTP/2 they need not).
    pub(super) async fn too_slow(&self, timeouts: &Timeouts, heads: bool) -> TooSlow {
        let shortest = timeouts.head.min(timeouts.idle).min(timeouts.stalled);
        let pause = (shortest / LOOKS).max(Duration::from_millis(10));
        let mut moved = 0;
        let mut still = Instant::now();
        loop {
            tokio::time::sleep(pause).await;
            if self.is_quiet() {
                still = Instant::now();
                let heard = self.heard.load(Ordering::Relaxed);
                if heads && heard != 0 && self.since(heard) > timeouts.head {
                    return TooSlow::Head;
                }
                if self.since(self.quiet.load(Ordering::Relaxed)) > timeouts.idle {
                    return TooSlow::Idle;
                }
                continue;
            }
            let now = self.moved.load(Ordering::Relaxed);
            let waits = self.blocked.load(Ordering::Relaxed) || self.hungry.load(Ordering::Relaxed);
            if !waits || now.saturating_sub(moved) >= MOVING {
                moved = now;
                still = Instant::now();
            } else if still.elapsed() > timeouts.stalled {
                return TooSlow::Body;
            }
        }
    }

    fn now(&self) -> u64 {
        // At least 1, as 0 is never.
        u64::try_from(self.begun.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    fn since(&self, then: u64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts() -> Timeouts {
        Timeouts {
            head: Duration::from_millis(60),
            idle: Duration::from_millis(150),
            stalled: Duration::from_millis(60),
            ..Timeouts::default()
        }
    }

    #[tokio::test]
    async fn who_says_nothing_is_too_slow_with_the_head() {
        let pulse = Pulse::new();
        assert_eq!(pulse.too_slow(&timeouts(), true).await, TooSlow::Head);
        assert_eq!(pulse.too_slow(&timeouts(), false).await, TooSlow::Idle);
    }

    #[tokio::test]
    async fn between_requests_there_is_more_time() {
        let pulse = Pulse::new();
        pulse.request_begins();
        pulse.request_ends();
        assert_eq!(pulse.too_slow(&timeouts(), true).await, TooSlow::Idle);
        pulse.received(1);
        let pulse = Pulse::new();
        pulse.request_begins();
        pulse.request_ends();
        pulse.received(1);
        assert_eq!(pulse.too_slow(&timeouts(), true).await, TooSlow::Head);
    }

    #[tokio::test]
    async fn a_body_must_move() {
        let pulse = Pulse::new();
        pulse.request_begins();
        pulse.waits_for_body(true);
        assert_eq!(pulse.too_slow(&timeouts(), true).await, TooSlow::Body);
        let timeouts = timeouts();
        let moving = async {
            for _ in 0..40 {
                pulse.received(MOVING);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            slow = pulse.too_slow(&timeouts, true) => panic!("{slow:?}"),
            () = moving => {}
        }
        // Who works and waits for nobody may take its time.
        pulse.waits_for_body(false);
        let long = tokio::time::sleep(Duration::from_millis(200));
        tokio::select! {
            slow = pulse.too_slow(&timeouts, true) => panic!("{slow:?}"),
            () = long => {}
        }
        pulse.sent(None);
        assert_eq!(pulse.too_slow(&timeouts, true).await, TooSlow::Body);
    }
}
