//! Connections for streams that stay open.
//!
//! Servers allow so many streams on a connection, often a hundred, and let the next call wait until one ends. An
//! execution holds its stream for as long as the build takes; so each connection gets less than that, and everything
//! else, cancelling above all, has a connection of its own.

use std::sync::{Arc, Mutex, PoisonError};

use bazel_remote_apis::build::bazel::remote::execution::v2::GetCapabilitiesRequest;
use bazel_remote_apis::build::bazel::remote::execution::v2::capabilities_client::CapabilitiesClient;
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::client::Client;
use crate::endpoint::Endpoint;

/// Streams that stay open on one connection.
const STREAMS: usize = 20;

/// As many connections to an endpoint as its open streams need.
pub(crate) struct Lanes {
    endpoint: Endpoint,
    lanes: Mutex<Vec<(Channel, Arc<()>)>>,
}

/// A place for one stream, free again when this is dropped.
pub(crate) struct Lane {
    /// The connection to open it on.
    pub(crate) channel: Channel,
    place: Arc<()>,
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
            place: places,
        }
    }

    /// No new stream goes over the connection of this one: it leads nowhere.
    pub(crate) fn close(&self, lane: &Lane) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|(_, places)| !Arc::ptr_eq(places, &lane.place));
    }
}

impl Client {
    /// Whether a connection leads nowhere, although the server is there. Some servers say nothing while an action is
    /// executed, so that a silent stream means nothing; and pings may not be sent as often as one would like to know.
    pub(crate) async fn is_dead(&self, lane: &Lane) -> bool {
        if self.is_answered(lane.channel.clone()).await {
            return false;
        }
        // A busy server answers on no connection: then another would not help either.
        self.is_answered(self.shared.lanes.endpoint.connection())
            .await
    }

    /// Whether the server answers on this connection. Whatever it answers, it did.
    async fn is_answered(&self, channel: Channel) -> bool {
        let message = GetCapabilitiesRequest {
            instance_name: self.shared.instance.clone(),
        };
        let mut calls = CapabilitiesClient::new(channel);
        let call = calls.get_capabilities(self.request(message, None));
        timeout(self.shared.calls.silence(), call).await.is_ok()
    }
}
