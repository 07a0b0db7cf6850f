//! What is counted of the index behind this one.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters, all from the start of the server.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Pages that were answered without asking.
    pub(super) page_hits: Counter,
    /// Requests for pages.
    pub(super) page_requests: Counter,
    /// Pages that were answered although nobody knows whether they are still like this.
    pub(super) stale_pages: Counter,
    /// Files that were answered from the store.
    pub(super) file_hits: Counter,
    /// Files that were not there, or not yet whole, when they were asked for.
    pub(super) file_misses: Counter,
    /// Requests for files.
    pub(super) file_requests: Counter,
    /// Bytes of files that came.
    pub(super) bytes: Counter,
    /// Requests that gave nothing that can be used.
    pub(super) failures: Counter,
}

impl Counts {
    /// Adds one.
    pub(super) fn up(counter: &Counter) {
        counter.inc();
    }

    /// Names the counters in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            (
                "upstream_page_hits",
                "Pages of the upstream index answered without asking it",
                &self.page_hits,
            ),
            (
                "upstream_page_requests",
                "Requests to the upstream index for pages",
                &self.page_requests,
            ),
            (
                "upstream_stale_pages",
                "Pages answered while the upstream index could not be asked",
                &self.stale_pages,
            ),
            (
                "upstream_file_hits",
                "Files of the upstream index answered from the store",
                &self.file_hits,
            ),
            (
                "upstream_file_misses",
                "Files of the upstream index that were not in the store when asked for",
                &self.file_misses,
            ),
            (
                "upstream_file_requests",
                "Requests to the upstream index for files",
                &self.file_requests,
            ),
            (
                "upstream_received_bytes",
                "Bytes of files that came from the upstream index",
                &self.bytes,
            ),
            (
                "upstream_failures",
                "Requests to the upstream index that gave nothing usable",
                &self.failures,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
    }
}
