//! Calls: on which connection, with which headers, and how often.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use prost::Message;
use proto::capabilities_client::CapabilitiesClient;
use tokio::time::timeout;
use tonic::metadata::{Ascii, Binary, MetadataKey, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::digest::BlobDigest;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, hinted, refused};
use crate::patience::{Patience, silent};
use crate::settings::Settings;

/// Messages that are not batches: a result with what it wrote, a list of missing blobs.
pub(crate) const LARGEST_MESSAGE: usize = 16 << 20;
/// Who cannot be reached in this time is not there, when we connect: patience is for servers that were.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// How long a call may take when nothing is heard of it.
const SILENCE: Duration = Duration::from_secs(60);
/// The header with the request metadata (`RequestMetadata` in `remote_execution.proto`).
const METADATA: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// Name and value of a header.
type Header = (MetadataKey<Ascii>, MetadataValue<Ascii>);

/// Connections to both endpoints, and what is sent with each call on them.
pub(crate) struct Calls {
    execution: Line,
    storage: Line,
    headers: Vec<Header>,
    metadata: proto::RequestMetadata,
    patience: Duration,
}

/// Which of the two endpoints.
#[derive(Clone, Copy)]
pub(crate) enum At {
    Execution,
    Storage,
}

/// An endpoint and the connection to it that is used now.
struct Line {
    endpoint: Endpoint,
    channel: Mutex<Channel>,
}

impl Line {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            channel: Mutex::new(endpoint.connection()),
            endpoint,
        }
    }
}

impl Calls {
    /// Connects to nobody yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let execution = Endpoint::new(&settings.execution, settings)?;
        let storage = match &settings.storage {
            Some(address) => Endpoint::new(address, settings)?,
            None => execution.clone(),
        };
        let (name, version) = settings.tool.clone();
        Ok(Self {
            execution: Line::new(execution),
            storage: Line::new(storage),
            headers: settings
                .headers
                .iter()
                .map(header)
                .collect::<Result<_, _>>()?,
            metadata: proto::RequestMetadata {
                tool_details: Some(proto::ToolDetails {
                    tool_name: name,
                    tool_version: version,
                }),
                tool_invocation_id: settings.invocation.clone(),
                ..proto::RequestMetadata::default()
            },
            patience: settings.patience,
        })
    }

    fn line(&self, at: At) -> &Line {
        match at {
            At::Execution => &self.execution,
            At::Storage => &self.storage,
        }
    }

    /// One of the endpoints.
    pub(crate) fn endpoint(&self, at: At) -> &Endpoint {
        &self.line(at).endpoint
    }

    /// The connection for calls that end soon.
    pub(crate) fn channel(&self, at: At) -> Channel {
        let channel = self.line(at).channel.lock();
        channel.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the endpoints may be away, from now.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.patience)
    }

    /// How long nothing may be heard of a call.
    pub(crate) fn silence(&self) -> Duration {
        self.patience.min(SILENCE)
    }

    /// A call's message with the headers of every call.
    pub(crate) fn request<T>(&self, message: T, action: Option<&BlobDigest>) -> Request<T> {
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

    /// Waits for an answer, but not for ever.
    pub(crate) async fn hear<T>(
        &self,
        at: At,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        match timeout(self.silence(), call).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unheard(at)),
        }
    }

    /// Nothing was heard. The connection may lead nowhere, which takes long to be noticed where a gateway forgot it:
    /// the next call gets another.
    pub(crate) fn unheard(&self, at: At) -> Status {
        let line = self.line(at);
        *line.channel.lock().unwrap_or_else(PoisonError::into_inner) = line.endpoint.connection();
        silent(self.silence())
    }

    /// Makes a call until it is answered, it is refused, or `patience` is at its end.
    pub(crate) async fn ask<T, F>(
        &self,
        at: At,
        mut patience: Patience,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            match self.hear(at, call()).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => {
                    if !patience.wait(&status).await {
                        return Err(status);
                    }
                }
            }
        }
    }

    /// What an endpoint says of itself (`GetCapabilities`).
    pub(crate) async fn capabilities(
        &self,
        at: At,
        instance: &str,
    ) -> Result<proto::ServerCapabilities, Error> {
        let call = || async {
            let message = proto::GetCapabilitiesRequest {
                instance_name: instance.to_owned(),
            };
            CapabilitiesClient::new(self.channel(at))
                .max_decoding_message_size(LARGEST_MESSAGE)
                .get_capabilities(self.request(message, None))
                .await
        };
        let patience = Patience::new(self.patience.min(FIRST_ANSWER));
        self.ask(at, patience, call).await.map_err(|status| {
            let what = if instance.is_empty() {
                "say what it can do".to_owned()
            } else {
                format!("say what it can do as instance `{instance}`")
            };
            let error = refused(&self.endpoint(at).address, what, &status);
            if error.hint.is_some() || error.kind != ErrorKind::Refused {
                return error;
            }
            let hint = "Servers have instances with names, or one without a name: look whether it has this one.";
            Error {
                hint: Some(hint.to_owned()),
                ..error
            }
        })
    }
}

/// A header as it is sent. No message has a value in it.
fn header((name, value): &(String, String)) -> Result<Header, Error> {
    let invalid = |what: &str| {
        hinted(
            ErrorKind::Invalid,
            format!(
                "the header `{}` cannot be sent: {what}",
                name.escape_debug()
            ),
            "Names are lower case letters, digits and `-`; values are printable ASCII, without a line break at the \
             end.",
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
}
