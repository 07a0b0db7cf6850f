//! How a registry is reached: by which protocol, through which proxy, trusting whom.

use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use reqwest::{NoProxy, Proxy};

use crate::error::{Result, io};
use crate::network::HostNetwork;

/// How long a registry may take to answer, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(20);
const AGENT: &str = concat!("wheelfarm/", env!("CARGO_PKG_VERSION"));

/// How a registry is reached.
pub(super) struct Reach {
    registry: String,
    is_local: bool,
    /// Certificates of authorities in PEM form, beside those that the system has.
    authorities: String,
    https_proxy: Option<String>,
    http_proxy: Option<String>,
    no_proxy: String,
}

impl Reach {
    pub(super) fn of(registry: &str, network: &HostNetwork) -> Result<Self> {
        let mut authorities = String::new();
        if let Some(path) = &network.ca_bundle {
            authorities = fs_err::read_to_string(path).map_err(io("read certificates"))?;
        }
        let proxy = |scheme: &str| {
            [format!("{scheme}_proxy"), "all_proxy".to_owned()]
                .into_iter()
                .flat_map(|name| [name.to_ascii_uppercase(), name])
                .find_map(|name| network.proxies.get(&name).cloned())
                .filter(|proxy| !proxy.is_empty())
        };
        let is_local = is_local(registry);
        let mut no_proxy = ["no_proxy", "NO_PROXY"]
            .iter()
            .find_map(|name| network.proxies.get(*name).cloned())
            .unwrap_or_default();
        if is_local {
            // No proxy has a way to this machine.
            no_proxy = format!("{no_proxy},{}", host(registry));
        }
        Ok(Self {
            registry: registry.to_owned(),
            is_local,
            authorities,
            https_proxy: proxy("https"),
            http_proxy: proxy("http"),
            no_proxy,
        })
    }

    /// As Docker has it: only who is on this machine may speak in the clear.
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_local { "http" } else { "https" }
    }

    /// Settings of the client that asks for images.
    pub(super) fn for_images(&self) -> ClientConfig {
        ClientConfig {
            protocol: if self.is_local {
                ClientProtocol::HttpsExcept(vec![self.registry.clone()])
            } else {
                ClientProtocol::Https
            },
            extra_root_certificates: certificates_in(&self.authorities),
            read_timeout: Some(PATIENCE),
            connect_timeout: Some(CONNECT),
            user_agent: AGENT,
            https_proxy: self.https_proxy.clone(),
            http_proxy: self.http_proxy.clone(),
            no_proxy: Some(self.no_proxy.clone()),
            ..ClientConfig::default()
        }
    }

    /// A client for anything else, with the same settings.
    pub(super) fn for_tokens(&self) -> reqwest::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(PATIENCE);
        let authorities = self.authorities.as_bytes();
        if !authorities.is_empty() {
            let certificates = reqwest::Certificate::from_pem_bundle(authorities)?;
            builder = builder.tls_certs_merge(certificates);
        }
        let no_proxy = || NoProxy::from_string(&self.no_proxy);
        if let Some(proxy) = &self.https_proxy {
            builder = builder.proxy(Proxy::https(proxy)?.no_proxy(no_proxy()));
        }
        if let Some(proxy) = &self.http_proxy {
            builder = builder.proxy(Proxy::http(proxy)?.no_proxy(no_proxy()));
        }
        builder.build()
    }
}

/// The certificates in a bundle, each as a file of its own.
fn certificates_in(pem: &str) -> Vec<Certificate> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    pem.split(BEGIN)
        .skip(1)
        .map(|rest| Certificate {
            encoding: CertificateEncoding::Pem,
            data: format!("{BEGIN}{rest}").into_bytes(),
        })
        .collect()
}

/// Whether a registry is on this machine.
fn is_local(registry: &str) -> bool {
    let host = host(registry);
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The host of a registry, without its port.
fn host(registry: &str) -> &str {
    if let Some(rest) = registry.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    registry.split(':').next().unwrap_or(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for registry in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "127.3.2.1",
            "[::1]:5000",
        ] {
            assert!(is_local(registry), "{registry}");
        }
        for registry in [
            "localhost.example.org",
            "quay.io",
            "10.0.0.1:5000",
            "128.0.0.1",
        ] {
            assert!(!is_local(registry), "{registry}");
        }
    }

    #[test]
    fn proxies_and_certificates_of_the_machine_count() {
        let directory = tempfile::tempdir().unwrap();
        let bundle = directory.path().join("ca.pem");
        let one = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        fs_err::write(&bundle, format!("# Some CA\n{one}{one}")).unwrap();
        let network = HostNetwork {
            ca_bundle: Some(bundle),
            proxies: [
                ("https_proxy".to_owned(), "http://p:1".to_owned()),
                ("no_proxy".to_owned(), "a".to_owned()),
            ]
            .into(),
            ..HostNetwork::default()
        };
        let config = Reach::of("localhost:5000", &network).unwrap().for_images();
        assert_eq!(config.extra_root_certificates.len(), 2);
        assert_eq!(config.https_proxy.as_deref(), Some("http://p:1"));
        assert_eq!(config.http_proxy, None);
        assert_eq!(config.no_proxy.as_deref(), Some("a,localhost"));
        let config = Reach::of("quay.io", &network).unwrap().for_images();
        assert_eq!(config.no_proxy.as_deref(), Some("a"));
    }
}
