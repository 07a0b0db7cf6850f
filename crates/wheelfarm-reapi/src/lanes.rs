//! Connections for streams that stay open.
//!
//! Servers allow so many streams on a connection, often a hundred, and let the next call wait until one ends. An
//! execution holds its stream for as long as the build takes; so each connection gets less than that, and everything
//! else, cancelling above all, has a connection of its own.

use std::sync::{Arc, Mutex, PoisonError};

use tonic::transport::Channel;

use crate::endpoint::Endpoint;

/// Streams that stay open on one connection.
const STREAMS: usize = 50;

/// As many connections to an endpoint as its open streams need.
pub(crate) struct Lanes {
    endpoint: Endpoint,
    lanes: Mutex<Vec<(Channel, Arc<()>)>>,
}

/// A place for one stream, free again when this is dropped.
pub(crate) struct Lane {
    /// The connection to open it on.
    pub(crate) channel: Channel,
    _place: Arc<()>,
}

impl Lanes {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            lanes: Mutex::default(),
        }
    }

    /// A place on the first connection that has one.
    pub(crate) fn enter(&self) -> Lane {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // One count is the lane's own.
        let free = lanes
            .iter()
            .position(|(_, places)| Arc::strong_count(places) <= STREAMS);
        let (channel, places) =
            if let Some((channel, places)) = free.and_then(|index| lanes.get(index)) {
                (channel.clone(), Arc::clone(places))
            } else {
                let channel = self.endpoint.connection();
                let places = Arc::new(());
                lanes.push((channel.clone(), Arc::clone(&places)));
                (channel, places)
            };
        Lane {
            channel,
            _place: places,
        }
    }
}
