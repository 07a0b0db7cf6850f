//! The client: what all calls of a remote share.

use std::future::Future;
use std::sync::Arc;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use tokio::sync::Semaphore;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::calls::{At, Calls, LARGEST_MESSAGE};
use crate::capabilities::{self, Capabilities};
use crate::digest::BlobDigest;
use crate::error::{Error, refused};
use crate::lanes::Lanes;
use crate::patience::Patience;
use crate::settings::Settings;

/// SHA-256, in every request that has a field for it.
pub(crate) const SHA256: i32 = proto::digest_function::Value::Sha256 as i32;

/// A connection to a remote. Clones share it, and its limits.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) instance: String,
    pub(crate) capabilities: Capabilities,
    /// Permits for uploads, of all calls together.
    pub(crate) uploads: Semaphore,
    pub(crate) upload_limit: usize,
    /// Streams of executions.
    pub(crate) lanes: Lanes,
    pub(crate) calls: Calls,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("execution", &self.address(At::Execution))
            .field("storage", &self.address(At::Storage))
            .field("instance", &self.shared.instance)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects, and asks what the servers can do. Fails for those that do not execute actions, or do not name content
    /// by SHA-256.
    pub async fn connect(settings: Settings) -> Result<Self, Error> {
        let calls = Calls::new(&settings)?;
        let instance = settings.instance;
        let at_execution = calls.capabilities(At::Execution, &instance).await?;
        let at_storage = if settings.storage.is_some() {
            calls.capabilities(At::Storage, &instance).await?
        } else {
            at_execution.clone()
        };
        let (execution, storage) = (calls.endpoint(At::Execution), calls.endpoint(At::Storage));
        let addresses = (execution.address.as_str(), storage.address.as_str());
        let upload_limit = settings.uploads.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self {
            shared: Arc::new(Shared {
                instance,
                capabilities: capabilities::read(&at_execution, &at_storage, addresses)?,
                uploads: Semaphore::new(upload_limit),
                upload_limit,
                lanes: Lanes::new(execution.clone()),
                calls,
            }),
        })
    }

    /// What the servers said of themselves.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// Where an endpoint is, for messages.
    pub(crate) fn address(&self, at: At) -> &str {
        &self.shared.calls.endpoint(at).address
    }

    /// The connection for calls that end soon.
    pub(crate) fn channel(&self, at: At) -> Channel {
        self.shared.calls.channel(at)
    }

    /// How long the endpoints may be away, from now.
    pub(crate) fn patience(&self) -> Patience {
        self.shared.calls.patience()
    }

    /// A call's message with the headers of every call.
    pub(crate) fn request<T>(&self, message: T, action: Option<&BlobDigest>) -> Request<T> {
        self.shared.calls.request(message, action)
    }

    /// What is put before resource names of blobs (`ByteStream`).
    pub(crate) fn resource_prefix(&self) -> String {
        match self.shared.instance.as_str() {
            "" => String::new(),
            instance => format!("{instance}/"),
        }
    }

    /// Largest message that is accepted as an answer, in bytes.
    pub(crate) fn message_limit() -> usize {
        LARGEST_MESSAGE
    }

    /// Waits for an answer, but not for ever.
    pub(crate) async fn hear<T>(
        &self,
        at: At,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        self.shared.calls.hear(at, call).await
    }

    /// Makes a short call until it is answered, or patience is at its end. `what` is an infinitive.
    pub(crate) async fn ask<T, F>(
        &self,
        at: At,
        what: &str,
        call: impl FnMut() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let answer = self.shared.calls.ask(at, self.patience(), call).await;
        answer.map_err(|status| refused(self.address(at), what, &status))
    }
}
