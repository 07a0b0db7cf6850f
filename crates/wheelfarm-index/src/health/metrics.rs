//! What the server counts, and the text of `/metrics`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::App;
use crate::health::{Readiness, RouteClass};
use crate::upstream::Counts;

/// Upper bounds of the classes in which the time of requests is counted, in seconds.
const SECONDS: [f64; 12] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0,
];

/// What the server counts. To count something else: a field, a line in [`Metrics::default`], and a call where it
/// happens, such as `app.metrics.uploads.add("created")`.
pub(crate) struct Metrics {
    registry: Registry,
    /// Requests that were answered.
    pub(crate) requests: Family<RequestLabels, Counter>,
    /// How long they took, until the last byte was taken.
    pub(crate) seconds: Family<ClassLabels, Histogram, fn() -> Histogram>,
    /// Bytes of answers' bodies.
    pub(crate) sent: Counter,
    /// Bytes of requests' bodies.
    pub(crate) received: Counter,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Connections that were closed because the client was too slow, by what it was slow with.
    pub(crate) too_slow: Tally,
    /// Requests in whose handling the server panicked.
    pub(crate) panics: Counter,
    /// Uploads: `created`, `same`, `refused`, `failed`.
    pub(crate) uploads: Tally,
    /// What goes on with the index behind this one.
    pub(crate) upstream: Arc<Counts>,
    /// Builds that were asked for: `started`, `joined`, `succeeded`, `failed`, `refused`.
    pub(crate) builds: Tally,
    /// Tries to authenticate: `refused`, `limited`.
    pub(crate) logins: Tally,
    /// Times that the store did not answer as it should, when the log was followed.
    pub(crate) store_errors: Counter,
    /// What is known of whether the server is ready.
    pub(crate) readiness: Readiness,
    number: Gauge<i64>,
    resident: Gauge<u64, AtomicU64>,
}

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// What its address is of.
    pub(crate) route: RouteClass,
    /// Its method, if it is one that anything here has.
    pub(crate) method: &'static str,
    /// The status of the answer.
    pub(crate) status: u16,
}

/// Label of a request's time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ClassLabels {
    /// What its address is of.
    pub(crate) route: RouteClass,
}

/// Counts things by how they came out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Family<Outcome, Counter>);

/// How a thing came out: one of few words, none that a client chooses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Tally {
    /// Counts one more.
    pub(crate) fn add(&self, outcome: &'static str) {
        self.0.get_or_create(&Outcome { outcome }).inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("wheelfarm"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            sent: Counter::default(),
            received: Counter::default(),
            connections: Gauge::default(),
            too_slow: Tally::default(),
            panics: Counter::default(),
            uploads: Tally::default(),
            upstream: Arc::default(),
            builds: Tally::default(),
            logins: Tally::default(),
            store_errors: Counter::default(),
            readiness: Readiness::default(),
            number: Gauge::default(),
            resident: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", version);
        let requests = self.requests.clone();
        registry.register("http_requests", "Requests answered", requests);
        registry.register_with_unit(
            "http_request_duration",
            "Time from the end of a request's head to the end of its answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
        let sent = self.sent.clone();
        registry.register_with_unit("http_sent", "Bodies of answers", Unit::Bytes, sent);
        let received = self.received.clone();
        let help = "Bodies of requests";
        registry.register_with_unit("http_received", help, Unit::Bytes, received);
        let connections = self.connections.clone();
        registry.register("http_connections", "Open connections", connections);
        registry.register(
            "http_slow_connections",
            "Connections closed because the client was too slow",
            self.too_slow.0.clone(),
        );
        let panics = self.panics.clone();
        registry.register("panics", "Requests that met a bug", panics);
        registry.register("uploads", "Uploads", self.uploads.0.clone());
        self.upstream.register(registry);
        registry.register("builds", "Builds asked for", self.builds.0.clone());
        registry.register(
            "logins",
            "Tokens that were not taken",
            self.logins.0.clone(),
        );
        registry.register(
            "store_errors",
            "Times the store did not answer when the log was followed",
            self.store_errors.clone(),
        );
        registry.register(
            "registry_entry",
            "The last entry of the log that this server knows",
            self.number.clone(),
        );
        registry.register_with_unit(
            "process_resident_memory",
            "Memory of the process",
            Unit::Bytes,
            self.resident.clone(),
        );
    }

    /// Everything, as `OpenMetrics` text.
    pub(crate) fn text(&self, app: &App) -> String {
        let number = app.registry.read(|state| state.number);
        self.number.set(i64::try_from(number).unwrap_or(i64::MAX));
        if let Some(resident) = resident() {
            self.resident.set(resident);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        encode(&mut text, &self.registry).ok();
        text
    }
}

/// The memory of this process in bytes, where the system tells.
fn resident() -> Option<u64> {
    let text = fs_err::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
