//! HTTP to package indexes with the user's settings: authorities, proxy, credentials.

use std::time::Duration;

use reqwest::{Client, Proxy, Url};

use crate::{Credential, IndexSettings, ResolveError, ResolveErrorKind};

impl IndexSettings {
    /// A client with these settings that waits for `connect` until a connection stands, and for `pause` between two
    /// pieces of an answer. It decompresses nothing.
    pub fn client(&self, connect: Duration, pause: Duration) -> Result<Client, ResolveError> {
        let error = |message: String| ResolveError::new(ResolveErrorKind::Network, message);
        let mut builder = Client::builder()
            .user_agent(concat!("wheelfarm/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            .read_timeout(pause);
        if let Some(path) = &self.ca_bundle {
            let pem = fs_err::read(path)?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| {
                error(format!(
                    "`{}` is no PEM file of certificates: {e}",
                    path.display()
                ))
            })?;
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some(proxy) = &self.proxy {
            let proxy = Proxy::all(proxy)
                .map_err(|e| error(format!("the proxy address cannot be used: {e}")))?;
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|e| {
            error(format!(
                "the HTTP client could not be set up: {}",
                chain(&e)
            ))
        })
    }

    /// The credential for the host of `url`.
    pub fn credential_for(&self, url: &Url) -> Option<&Credential> {
        let host = host_of(url)?;
        self.credentials
            .iter()
            .find(|credential| credential.host == host)
    }
}

/// The host of `url`, with its port if the address has one.
pub(crate) fn host_of(url: &Url) -> Option<String> {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => Some(format!("{host}:{port}")),
        (Some(host), None) => Some(host.to_owned()),
        (None, _) => None,
    }
}

/// An error with its causes: `reqwest` alone says only that a request failed.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
