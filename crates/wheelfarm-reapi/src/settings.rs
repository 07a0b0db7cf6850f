//! What a connection needs to be told.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

/// All that a [`Client`](crate::Client) needs to know of a remote. Nothing else is read, no file and no environment.
#[derive(Clone)]
pub struct Settings {
    /// Where actions are executed: `grpc://host:port`, or `grpcs://host:port` for TLS. `http` and `https` mean the same.
    pub execution: String,
    /// Where blobs and results are, if not there.
    pub storage: Option<String>,
    /// The instance at these addresses; empty for servers that have one.
    pub instance: String,
    /// Who is trusted, and who we are, where an address asks for TLS.
    pub tls: Tls,
    /// Sent with every call: keys of hosted services (`x-buildbuddy-api-key`), `authorization`. Values are never printed.
    pub headers: Vec<(String, String)>,
    /// Name and version of the program, for the server's records (`RequestMetadata.tool_details`).
    pub tool: (String, String),
    /// Identifies this run of the program in the server's records (`RequestMetadata.tool_invocation_id`).
    pub invocation: String,
    /// How many uploads may be under way at once, in all calls of a client together; at least one. Each holds a
    /// message of up to 1 MiB, also encoded and compressed: about 4 MiB, whatever the size of blobs.
    pub uploads: usize,
    /// How long an endpoint may be away until a call that needs it fails. Meanwhile it is asked again and again.
    pub patience: Duration,
}

/// Transport security (RFC 8446) of a connection.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates (PEM) of authorities that are trusted besides the system's.
    pub roots: Option<Bytes>,
    /// What we show to a server that asks who we are.
    pub identity: Option<Identity>,
}

/// A client's certificate.
#[derive(Clone)]
pub struct Identity {
    /// The certificate and those that lead to an authority (PEM).
    pub certificate: Bytes,
    /// Its private key (PEM). Never printed.
    pub key: Bytes,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of headers are keys, more often than not.
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Settings")
            .field("execution", &self.execution)
            .field("storage", &self.storage)
            .field("instance", &self.instance)
            .field("tls", &self.tls)
            .field("headers", &headers)
            .field("tool", &self.tool)
            .field("invocation", &self.invocation)
            .field("uploads", &self.uploads)
            .field("patience", &self.patience)
            .finish()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots.as_ref().map(Bytes::len))
            .field("identity", &self.identity)
            .finish()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
