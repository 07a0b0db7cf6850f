//! How containers that may use the network reach it: authorities and proxies of this machine, which are passed on.

use wheelfarm_executor::HostNetwork;

use super::report::Finding;
use crate::index_settings::without_credentials;

/// Most bytes of a bundle of certificates that are read; usual ones have 300 KiB.
const MOST: u64 = 16 << 20;

/// Whether the bundle of certificates that is passed on is there.
pub(super) fn certificates(network: &HostNetwork) -> Finding {
    let Some(path) = &network.ca_bundle else {
        return Finding::warning(
            "this machine has no bundle of certificates to pass on",
            "Install `ca-certificates`, or name a bundle with SSL_CERT_FILE, if containers have to trust more than their image does.",
        );
    };
    let shown = path.display();
    let hint = "It is named by SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or pip's `cert`: correct it there.";
    let read = fs_err::metadata(path).and_then(|facts| {
        if facts.len() > MOST {
            return Err(std::io::Error::other("it is too large"));
        }
        fs_err::read_to_string(path)
    });
    match read.map(|text| text.matches("-----BEGIN CERTIFICATE-----").count()) {
        Ok(0) => Finding::failed(format!("{shown} has no certificate in PEM form"), hint),
        Ok(number) => Finding::ok(format!(
            "{number} authorities of {shown} are trusted, here and in containers with network"
        )),
        Err(error) => Finding::failed(format!("{shown} cannot be read: {error}"), hint),
    }
}

/// Which proxies are passed on, and whether a container can reach them.
pub(super) fn proxies(network: &HostNetwork) -> Finding {
    // Both spellings mostly say the same.
    let mut shown: Vec<_> = network
        .proxies
        .iter()
        .map(|(name, value)| {
            format!(
                "{}={}",
                name.to_ascii_lowercase(),
                without_credentials(value)
            )
        })
        .collect();
    shown.sort();
    shown.dedup();
    if shown.is_empty() {
        return Finding::ok("none: the network is reached directly");
    }
    let found = format!("containers with network get {}", shown.join(", "));
    let own =
        |(name, value): (&String, &String)| !name.eq_ignore_ascii_case("no_proxy") && is_own(value);
    if network.proxies.iter().any(own) {
        return Finding::warning(
            found,
            "A container has a loopback of its own: name the proxy by an address that containers reach, such as the bridge's (172.17.0.1).",
        );
    }
    Finding::ok(found)
}

/// Whether an address is on the machine that asks.
fn is_own(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host == "localhost"
        || host.starts_with("localhost:")
        || host.starts_with("127.")
        || host.starts_with("[::1]")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::report::State;
    use super::*;

    fn with_proxy(value: &str) -> HostNetwork {
        HostNetwork {
            proxies: BTreeMap::from([
                ("https_proxy".to_owned(), value.to_owned()),
                ("HTTPS_PROXY".to_owned(), value.to_owned()),
                ("no_proxy".to_owned(), "localhost,127.0.0.1".to_owned()),
            ]),
            ..HostNetwork::default()
        }
    }

    #[test]
    fn a_proxy_on_the_loopback_is_out_of_reach_for_containers() {
        for own in [
            "http://127.0.0.1:3128",
            "http://me:secret@localhost:3128/",
            "localhost",
            "http://[::1]:8080",
        ] {
            let finding = proxies(&with_proxy(own));
            assert_eq!(finding.state, State::Warning, "{own}");
            assert!(!finding.found.contains("secret"));
        }
        let finding = proxies(&with_proxy("http://me:secret@proxy.example:3128"));
        assert_eq!(finding.state, State::Ok);
        assert_eq!(
            finding.found,
            "containers with network get https_proxy=http://proxy.example:3128, no_proxy=localhost,127.0.0.1"
        );
        assert_eq!(proxies(&HostNetwork::default()).state, State::Ok);
    }

    #[test]
    fn a_bundle_has_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let of = |text: &str| {
            fs_err::write(&path, text).unwrap();
            certificates(&HostNetwork {
                ca_bundle: Some(path.clone()),
                ..HostNetwork::default()
            })
        };
        assert_eq!(of("no certificate").state, State::Failed);
        let finding = of("-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n");
        assert_eq!(finding.state, State::Ok);
        assert!(finding.found.starts_with("2 "), "{finding:?}");
        fs_err::remove_file(&path).unwrap();
        let missing = HostNetwork {
            ca_bundle: Some(path),
            ..HostNetwork::default()
        };
        assert_eq!(certificates(&missing).state, State::Failed);
        assert_eq!(certificates(&HostNetwork::default()).state, State::Warning);
    }
}
