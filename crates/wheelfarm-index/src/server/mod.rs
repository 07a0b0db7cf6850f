//! From connections to requests: limits, time-outs, TLS, shutdown, what is logged and counted of each request.
//!
//! [`listen`] accepts connections; [`connection`] drives one, with HTTP/1.1 or, over TLS, HTTP/2; [`pulse`] knows when
//! one stands still; [`socket`] and [`outbox`] send files without reading them; [`answering`] has the router answer.

mod answering;
mod connection;
mod follow;
mod listen;
mod outbox;
mod proxies;
mod pulse;
mod received;
mod sent;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod visit;

use std::sync::Arc;

use axum::Router;

pub use listen::raise_file_limit;
pub(crate) use outbox::{FileBody, Outbox};
pub use proxies::{Network, NetworkError, TrustedProxies};
pub use tls::{Tls, TlsError};
pub(crate) use visit::Visit;

use crate::{App, builds, files, health, operations, pages, simple, upload};

impl App {
    /// All addresses of the server.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .merge(simple::routes())
            .merge(upload::routes())
            .merge(operations::routes())
            .merge(files::routes())
            .merge(builds::routes())
            .merge(pages::routes())
            .merge(health::routes())
            .with_state(self)
    }
}
