//! The private index server: what pip, uv, poetry, pdm and twine talk to, and what people look at.
//!
//! Everything durable is in the store: blobs by digest, and one [log](wheelfarm_store::Log) of what happened
//! ([`registry`]). A server holds what the log comes to in memory ([`registry::State`]) and follows it, so any number
//! of them can run on one store. Knows nothing of containers: builds are asked for through [`Builds`].

mod app;
mod auth;
mod builds;
mod error;
mod files;
mod health;
pub mod operations;
mod pages;
pub mod registry;
mod server;
mod settings;
mod simple;
mod standing;
mod upload;
mod upstream;

pub use app::{App, Clock};
pub use builds::{
    Build, BuildFailure, BuildId, BuildOutcome, BuildRequest, BuildSettings, BuildState, Builder,
    Builds, FarmWheel, JobPhase, JobView, RequestError, StartError, Started, parse_cell,
};
pub use error::Problem;
pub use server::{Network, NetworkError, Tls, TlsError, TrustedProxies, raise_file_limit};
pub use settings::{ChannelSettings, Limits, Settings, Timeouts};
pub use upload::{Publication, Published, Publisher, UPLOAD_OUTCOME};
pub use upstream::{Origin, Pin, PinError, Pins, UpstreamLimits, UpstreamSettings};
