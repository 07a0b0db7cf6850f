//! Whether requests should be sent to this server.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::App;

/// For how long an answer of the store says that it answers, in milliseconds.
const FRESH: i64 = 10_000;
/// How long the store may take when it is asked.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// When the log was last followed to its end, in milliseconds since 1970; 0: never.
    followed: AtomicI64,
    stopping: AtomicBool,
}

impl Readiness {
    /// The log was followed to its end.
    pub(crate) fn followed(&self, now: DateTime<Utc>) {
        self.followed
            .store(now.timestamp_millis(), Ordering::Relaxed);
    }

    /// The server ends: what is under way is finished, and nothing new should come.
    pub(crate) fn stops(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let followed = self.followed.load(Ordering::Relaxed);
        followed != 0 && now.timestamp_millis().saturating_sub(followed) < FRESH
    }
}

/// Whether the server is ready; else why not. The store is asked only if it has not answered lately, so that asking
/// often costs nothing.
pub(super) async fn check(app: &App) -> Result<(), &'static str> {
    let readiness = &app.metrics.readiness;
    if readiness.stopping.load(Ordering::Relaxed) {
        return Err("the server is stopping\n");
    }
    if readiness.is_fresh(app.now()) {
        return Ok(());
    }
    match tokio::time::timeout(PATIENCE, app.registry.refresh()).await {
        Ok(Ok(())) => {
            readiness.followed(app.now());
            Ok(())
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the store failed");
            Err("the store does not answer\n")
        }
        Err(_) => Err("the store does not answer in time\n"),
    }
}
