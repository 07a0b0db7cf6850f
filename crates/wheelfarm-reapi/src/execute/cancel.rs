//! Not leaving actions behind: what nobody waits for is cancelled.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bazel_remote_apis::google::longrunning::CancelOperationRequest;
use bazel_remote_apis::google::longrunning::operations_client::OperationsClient;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::calls::At;
use crate::client::Client;

/// How long the server may take to hear of it.
const LIMIT: Duration = Duration::from_secs(10);

/// An action that the server may be executing. Cancels it when dropped, unless it is settled.
pub(super) struct Running {
    client: Client,
    /// What the server calls it, once we know, until it is settled.
    name: Mutex<Option<String>>,
    known: Notify,
}

impl Running {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            name: Mutex::default(),
            known: Notify::new(),
        }
    }

    /// The server calls it `name`.
    pub(super) fn named(&self, name: &str) {
        let mut known = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != Some(name) {
            *known = Some(name.to_owned());
            self.known.notify_one();
        }
    }

    /// Waits until the server has told its name for it.
    pub(super) async fn known(&self) {
        self.known.notified().await;
    }

    /// The server's name for it, if it told one.
    pub(super) fn name(&self) -> Option<String> {
        self.name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// It needs no cancelling: it is done, or the server does not know it.
    pub(super) fn settle(&self) {
        self.take();
    }

    /// Cancels it, as well as that can be done in a short time.
    pub(super) async fn cancel(&self) {
        if let Some(name) = self.take() {
            cancel(&self.client, name).await;
        }
    }

    fn take(&self) -> Option<String> {
        self.name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(name) = self.take() else {
            return;
        };
        // Outside of a runtime nothing can be sent any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let client = self.client.clone();
            drop(runtime.spawn(async move { cancel(&client, name).await }));
        }
    }
}

/// `CancelOperation`. That it fails changes nothing for whoever cancels: the server's own limits end the action then.
async fn cancel(client: &Client, name: String) {
    let mut calls = OperationsClient::new(client.channel(At::Execution));
    let call = calls.cancel_operation(client.request(CancelOperationRequest { name }, None));
    drop(timeout(LIMIT, call).await);
}
