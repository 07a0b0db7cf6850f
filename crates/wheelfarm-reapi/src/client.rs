//! The client: connections to the endpoints of a remote, and what goes with every call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use prost::Message;
use proto::capabilities_client::CapabilitiesClient;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::metadata::{Ascii, Binary, MetadataKey, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::capabilities::{self, Capabilities};
use crate::digest::BlobDigest;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, hinted, refused};
use crate::lanes::Lanes;
use crate::patience::{Patience, SILENCE, silent};
use crate::settings::Settings;

/// SHA-256, in every request that has a field for it.
pub(crate) const SHA256: i32 = proto::digest_function::Value::Sha256 as i32;
/// Who cannot be reached in this time is not there, when we connect: patience is for servers that were.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// Messages that are not batches: a result with what it wrote, a list of missing blobs.
const LARGEST_MESSAGE: usize = 16 << 20;
/// The header with the request metadata (`RequestMetadata` in `remote_execution.proto`).
const METADATA: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

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
    calls: Calls,
}

/// Connections, and what is sent with each call on them.
struct Calls {
    execution: Endpoint,
    storage: Endpoint,
    execution_channel: Channel,
    storage_channel: Channel,
    headers: Vec<Header>,
    metadata: proto::RequestMetadata,
    patience: Duration,
}

/// Name and value of a header.
type Header = (MetadataKey<Ascii>, MetadataValue<Ascii>);

/// Which of the two endpoints.
#[derive(Clone, Copy)]
pub(crate) enum At {
    Execution,
    Storage,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("execution", &self.shared.calls.execution.address)
            .field("storage", &self.shared.calls.storage.address)
            .field("instance", &self.shared.instance)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects, and asks what the servers can do. Fails for those that do not execute actions, or do not name content
    /// by SHA-256.
    pub async fn connect(settings: Settings) -> Result<Self, Error> {
        let execution = Endpoint::new(&settings.execution, &settings)?;
        let storage = match &settings.storage {
            Some(address) => Endpoint::new(address, &settings)?,
            None => execution.clone(),
        };
        let (name, version) = settings.tool;
        let calls = Calls {
            execution_channel: execution.connection(),
            storage_channel: storage.connection(),
            headers: headers(settings.headers)?,
            metadata: proto::RequestMetadata {
                tool_details: Some(proto::ToolDetails {
                    tool_name: name,
                    tool_version: version,
                }),
                tool_invocation_id: settings.invocation,
                ..proto::RequestMetadata::default()
            },
            patience: settings.patience,
            execution,
            storage,
        };
        let at_execution = calls
            .capabilities(At::Execution, &settings.instance)
            .await?;
        let at_storage = if settings.storage.is_some() {
            calls.capabilities(At::Storage, &settings.instance).await?
        } else {
            at_execution.clone()
        };
        let capabilities = capabilities::read(
            &at_execution,
            &at_storage,
            (&calls.execution.address, &calls.storage.address),
        )?;
        let upload_limit = settings.uploads.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self {
            shared: Arc::new(Shared {
                instance: settings.instance,
                capabilities,
                uploads: Semaphore::new(upload_limit),
                upload_limit,
                lanes: Lanes::new(calls.execution.clone()),
                calls,
            }),
        })
    }

    /// What the servers said of themselves.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// Where storage is, for messages.
    pub(crate) fn address(&self, at: At) -> &str {
        &self.shared.calls.endpoint(at).address
    }

    /// The connection for calls that end soon.
    pub(crate) fn channel(&self, at: At) -> Channel {
        self.shared.calls.channel(at)
    }

    /// How long the endpoints may be away, from now.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.shared.calls.patience)
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
        ask(self.patience(), call)
            .await
            .map_err(|status| refused(self.address(at), what, &status))
    }
}

impl Calls {
    fn endpoint(&self, at: At) -> &Endpoint {
        match at {
            At::Execution => &self.execution,
            At::Storage => &self.storage,
        }
    }

    fn channel(&self, at: At) -> Channel {
        match at {
            At::Execution => self.execution_channel.clone(),
            At::Storage => self.storage_channel.clone(),
        }
    }

    fn request<T>(&self, message: T, action: Option<&BlobDigest>) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = proto::RequestMetadata {
            action_id: action
                .map(|digest| digest.hash.to_string())
                .unwrap_or_default(),
            ..self.metadata.clone()
        };
        let value = MetadataValue::<Binary>::from_bytes(&metadata.encode_to_vec());
        request
            .metadata_mut()
            .insert_bin(MetadataKey::<Binary>::from_static(METADATA), value);
        for (name, value) in &self.headers {
            request.metadata_mut().append(name.clone(), value.clone());
        }
        request
    }

    async fn capabilities(
        &self,
        at: At,
        instance: &str,
    ) -> Result<proto::ServerCapabilities, Error> {
        let call = || async {
            CapabilitiesClient::new(self.channel(at))
                .max_decoding_message_size(LARGEST_MESSAGE)
                .get_capabilities(self.request(
                    proto::GetCapabilitiesRequest {
                        instance_name: instance.to_owned(),
                    },
                    None,
                ))
                .await
        };
        ask(Patience::new(self.patience.min(FIRST_ANSWER)), call)
            .await
            .map_err(|status| {
                let what = if instance.is_empty() {
                    "say what it can do".to_owned()
                } else {
                    format!("say what it can do as instance `{instance}`")
                };
                refused(&self.endpoint(at).address, what, &status)
            })
    }
}

/// Makes a call until it is answered, it is refused, or `patience` is at its end.
async fn ask<T, F>(mut patience: Patience, mut call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    loop {
        let answer = timeout(SILENCE, call())
            .await
            .unwrap_or_else(|_| Err(silent()));
        match answer {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => {
                if !patience.wait(&status).await {
                    return Err(status);
                }
            }
        }
    }
}

/// Headers as they are sent. No message has a value in it.
fn headers(headers: Vec<(String, String)>) -> Result<Vec<Header>, Error> {
    let parse = |(name, value): (String, String)| {
        let invalid = |what: &str| {
            hinted(
                ErrorKind::Invalid,
                format!(
                    "the header `{}` cannot be sent: {what}",
                    name.escape_debug()
                ),
                "Names are lower case letters, digits and `-`; values are printable ASCII, without a line break at \
                 the end.",
            )
        };
        let key = name
            .to_ascii_lowercase()
            .parse()
            .map_err(|_| invalid("its name is no name of a header"))?;
        let mut value: MetadataValue<Ascii> = value
            .parse()
            .map_err(|_| invalid("its value has characters that headers may not have"))?;
        value.set_sensitive(true);
        Ok((key, value))
    };
    headers.into_iter().map(parse).collect()
}
