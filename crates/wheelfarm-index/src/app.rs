//! What every request is answered from.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::auth::Guard;
use crate::files::Kept;
use crate::health::Metrics;
use crate::pages::Desk;
use crate::registry::Registry;
use crate::simple::PageCache;
use crate::upstream::Upstream;
use crate::{Builds, Problem, Publisher, Settings};

/// Says what time it is; tests say what they like.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The state of a server. What lasts of it is in the store.
pub struct App {
    /// What is published.
    pub registry: Registry,
    /// How the server was set up.
    pub settings: Settings,
    /// Who builds what is asked for and not there, if anybody does.
    pub builds: Option<Arc<Builds>>,
    /// Checks what is uploaded, and publishes it.
    pub publisher: Publisher,
    /// What time it is.
    clock: Clock,
    /// Who may do what.
    pub(crate) guard: Guard,
    /// Pages of the simple API that are made.
    pub(crate) pages: PageCache,
    /// The index behind this one.
    pub(crate) upstream: Option<Upstream>,
    /// What the server counts.
    pub(crate) metrics: Metrics,
    /// What is kept of files that are asked for often.
    pub(crate) kept: Kept,
    /// What pages for people remember.
    pub(crate) desk: Desk,
}

impl App {
    /// A server of `registry`. Fails if the settings cannot hold.
    pub fn new(
        registry: Registry,
        settings: Settings,
        builds: Option<Arc<Builds>>,
        clock: Clock,
    ) -> Result<Arc<Self>, Problem> {
        let metrics = Metrics::default();
        let upstream = settings.upstream.clone().map(|settings| {
            let store = registry.store().clone();
            Upstream::new(settings, store, Arc::clone(&metrics.upstream))
        });
        Ok(Arc::new(Self {
            guard: Guard::default(),
            pages: PageCache::default(),
            upstream: upstream.transpose()?,
            metrics,
            kept: Kept::default(),
            desk: Desk::default(),
            publisher: Publisher::new(settings.limits),
            registry,
            settings,
            builds,
            clock,
        }))
    }

    /// The time now.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }
}
