//! An address, and connections to it.

use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint as Transport, Identity};

use crate::error::{Error, ErrorKind, hinted};
use crate::settings::Settings;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(20);
/// Kernel probes of a silent connection: a peer that is gone is noticed within a minute, and one that is away for half
/// a minute is not dropped. Engines do not see these.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;
/// HTTP/2 pings, for what the kernel cannot see behind a proxy. gRPC servers hang up on clients that ping more often
/// than every five minutes (`too_many_pings`; gRFC A8).
const PING: Duration = Duration::from_secs(310);
const PONG: Duration = Duration::from_secs(20);
/// How much a server may send ahead of us, on a stream and on a connection, in bytes.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Makes connections to one address.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// As it was given: for messages.
    pub(crate) address: String,
    transport: Transport,
}

impl Endpoint {
    /// Understands `address`, and TLS as `settings` have it. Does not connect.
    pub(crate) fn new(address: &str, settings: &Settings) -> Result<Self, Error> {
        let invalid = |detail: String| {
            hinted(
                ErrorKind::Invalid,
                format!(
                    "`{}` is no address of a server: {detail}",
                    without_user(address)
                ),
                "It looks like `grpc://host:port`, or `grpcs://host:port` for TLS.",
            )
        };
        let (scheme, rest) = address
            .split_once("://")
            .ok_or_else(|| invalid("there is no `://` in it".to_owned()))?;
        let secure = match scheme {
            "grpc" | "http" => false,
            "grpcs" | "https" => true,
            other => return Err(invalid(format!("`{other}` is not `grpc` or `grpcs`"))),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['/', '?', '#', '@']) || rest.is_empty() {
            return Err(invalid("only a host and a port may follow".to_owned()));
        }
        let url = format!("{}://{rest}", if secure { "https" } else { "http" });
        let mut transport = Transport::from_shared(url)
            .map_err(|error| invalid(error.to_string()))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(PROBE_AFTER))
            .tcp_keepalive_interval(Some(PROBE_EVERY))
            .tcp_keepalive_retries(Some(PROBES))
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let (tool, version) = &settings.tool;
        transport = transport
            .user_agent(format!("{tool}/{version}"))
            .map_err(|error| invalid(error.to_string()))?;
        if secure {
            transport = secured(transport, address, settings)?;
        } else if settings.tls.identity.is_some() {
            return Err(hinted(
                ErrorKind::Invalid,
                format!("a client certificate cannot be shown to {address}, which is without TLS"),
                "Write `grpcs://` instead of `grpc://`.",
            ));
        }
        Ok(Self {
            address: address.to_owned(),
            transport,
        })
    }

    /// A connection that is made when it is used, and again whenever it breaks.
    pub(crate) fn connection(&self) -> Channel {
        self.transport.connect_lazy()
    }
}

/// With TLS as `settings` have it.
fn secured(transport: Transport, address: &str, settings: &Settings) -> Result<Transport, Error> {
    let impossible = |detail: &str| {
        hinted(
            ErrorKind::Invalid,
            format!("TLS to {address} cannot be set up: {detail}"),
            "Certificates and keys are PEM files: look whether these are, and whether the key belongs to the \
             certificate.",
        )
    };
    let mut tls = ClientTlsConfig::new().timeout(CONNECT);
    if let Some(roots) = &settings.tls.roots {
        // What has none would be taken for none.
        let begin: &[u8] = b"-----BEGIN CERTIFICATE-----";
        if !roots.windows(begin.len()).any(|window| window == begin) {
            return Err(impossible("there is no certificate among those to trust"));
        }
        tls = tls.ca_certificate(Certificate::from_pem(roots));
    }
    if let Some(identity) = &settings.tls.identity {
        tls = tls.identity(Identity::from_pem(&identity.certificate, &identity.key));
    }
    let usual = transport
        .clone()
        .tls_config(tls.clone().with_native_roots());
    // Small images have no authorities of the system's, and need none if they are given.
    let secured = match usual {
        Err(_) if settings.tls.roots.is_some() => transport.tls_config(tls),
        usual => usual,
    };
    secured.map_err(|error| impossible(&innermost(&error)))
}

/// An address without what may be a password in it.
fn without_user(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, host)) => format!("...@{host}"),
        None => address.chars().take(200).collect(),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
