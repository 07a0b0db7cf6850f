//! Following the log: what other servers and commands publish is seen here soon.

use std::sync::Arc;
use std::time::Duration;

use crate::App;

/// How often the log is looked at in a directory.
const LOOK: Duration = Duration::from_millis(100);
/// How often elsewhere, where each look is a request that somebody may have to pay for.
const REMOTE_LOOK: Duration = Duration::from_secs(1);
/// How long is waited after the store failed.
const BREATH: Duration = Duration::from_secs(1);

/// Follows the log for ever.
pub(super) async fn follow(app: Arc<App>) {
    let mut works = true;
    let pause = if app.registry.store().is_remote() {
        REMOTE_LOOK
    } else {
        LOOK
    };
    loop {
        match app.registry.refresh().await {
            Ok(()) => {
                if !works {
                    tracing::info!("the store answers again");
                }
                works = true;
                app.metrics.readiness.followed(app.now());
                tokio::time::sleep(pause).await;
            }
            Err(error) => {
                // Once for each time that it begins to fail.
                if works {
                    tracing::error!(%error, "the store failed: what others publish is not seen");
                }
                works = false;
                app.metrics.store_errors.inc();
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}
