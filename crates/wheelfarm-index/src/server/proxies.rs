//! Who really asks, if a proxy passes requests on.
//!
//! Anybody can send `X-Forwarded-For`. It is believed of proxies that the operator names, and of what it says, only
//! what such a proxy has seen itself: the addresses from the right on, up to the first one that is no such proxy.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName, header};
use serde::{Deserialize, Serialize};

/// Addresses and networks of proxies whose word is taken for who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// An address, or all with the same beginning: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network: `127.0.0.1`, `10.0.0.0/8`, `fd00::/8`")]
pub struct NetworkError(String);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What proxies say of the request that they got. None of it counts if it does not come from a trusted one.
const SAID: [HeaderName; 5] = [
    FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-prefix"),
    header::FORWARDED,
];

impl TrustedProxies {
    /// Proxies in these networks.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// The address of who asks, over a connection from `peer`: what proxies say, as far as they are trusted.
    ///
    /// `X-Forwarded-For` counts if it is there, else `Forwarded` (RFC 7239). What is no address ends the list.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.has(client) {
            return client;
        }
        let mut hops = values(headers, &FORWARDED_FOR);
        if hops.is_empty() {
            hops = values(headers, &header::FORWARDED);
            for hop in &mut hops {
                *hop = for_of(hop);
            }
        }
        for hop in hops.into_iter().rev() {
            let Some(address) = address(hop) else {
                break;
            };
            client = address;
            if !self.has(client) {
                break;
            }
        }
        client
    }

    /// Removes what proxies say from the headers of a request over a connection from `peer`, unless it is one of them.
    pub(super) fn strip(&self, peer: IpAddr, headers: &mut HeaderMap) {
        if !self.has(peer.to_canonical()) {
            for name in SAID {
                headers.remove(name);
            }
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, bits: u8| {
            let rest = u32::from(bits.saturating_sub(self.prefix));
            // A shift by all bits is none that the language has.
            (ours ^ theirs).checked_shr(rest).unwrap_or(0) == 0
        };
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same(ours.to_bits().into(), theirs.to_bits().into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.chars().take(100).collect());
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| error())?,
            None => longest,
        };
        if prefix > longest {
            return Err(error());
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.prefix)
    }
}

/// The elements of a list that may be in several headers of one name; empty ones are none (RFC 9110, section 5.6.1).
/// One that is no text is unknown.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| line.to_str().unwrap_or("unknown").split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .collect()
}

/// The value of `for` in an element of `Forwarded`.
fn for_of(element: &str) -> &str {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    found.map_or("unknown", |(_, value)| value.trim().trim_matches('"'))
}

/// An address, with or without a port; none if it is hidden.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    Some(address.or_else(|_| with_port()).ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|text| text.parse().unwrap()))
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (HeaderName::from_static(name), value)
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let proxies = proxies(&["127.0.0.1", "10.0.0.0/8", "fd00::/8"]);
        let client = proxies.client(peer.parse().unwrap(), &headers(lines));
        client.to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_asks() {
        let x = |value| client("127.0.0.1", &[("x-forwarded-for", value)]);
        assert_eq!(x("192.0.2.7"), "192.0.2.7");
        assert_eq!(x("192.0.2.7, 10.1.2.3"), "192.0.2.7");
        // What the client wrote itself stands on the left.
        assert_eq!(x("198.51.100.1, 192.0.2.7"), "192.0.2.7");
        assert_eq!(x("127.0.0.1, 192.0.2.7, 10.1.2.3"), "192.0.2.7");
        assert_eq!(x("10.9.9.9, 10.1.2.3"), "10.9.9.9");
        assert_eq!(x("192.0.2.7:1234"), "192.0.2.7");
        assert_eq!(x("[2001:db8::1]:1234"), "2001:db8::1");
        assert_eq!(x("::ffff:192.0.2.7"), "192.0.2.7");
        // Of several headers the last one is the newest.
        let two = [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-for", "192.0.2.7"),
        ];
        assert_eq!(client("::ffff:127.0.0.1", &two), "192.0.2.7");
        let forwarded = |value| client("fd00::1", &[("forwarded", value)]);
        assert_eq!(forwarded("for=192.0.2.7;proto=https"), "192.0.2.7");
        assert_eq!(
            forwarded("for=192.0.2.1, proto=http; For=\"[2001:db8::1]:4711\""),
            "2001:db8::1"
        );
    }

    #[test]
    fn nobody_else_is_believed() {
        let said = [
            ("x-forwarded-for", "192.0.2.7"),
            ("forwarded", "for=192.0.2.8"),
        ];
        assert_eq!(client("192.0.2.1", &said), "192.0.2.1");
        assert_eq!(client("11.0.0.1", &said), "11.0.0.1");
        // A client's own `Forwarded`, beside what the proxy wrote.
        assert_eq!(client("10.0.0.1", &said), "192.0.2.7");
        let mut stripped = headers(&said);
        let proxies = proxies(&["10.0.0.0/8"]);
        proxies.strip("::ffff:10.0.0.1".parse().unwrap(), &mut stripped);
        assert_eq!(stripped.len(), 2);
        proxies.strip("192.0.2.1".parse().unwrap(), &mut stripped);
        assert!(stripped.is_empty());
        assert_eq!(
            TrustedProxies::default()
                .client("::1".parse().unwrap(), &headers(&said))
                .to_string(),
            "::1"
        );
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        let long = "9".repeat(50_000);
        let many = "10.0.0.2,".repeat(7_000);
        for (value, expected) in [
            ("", "10.0.0.1"),
            (",, ,", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
            ("192.0.2.7, unknown, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.7, <script>", "10.0.0.1"),
            ("192.0.2.7, 256.1.1.1", "10.0.0.1"),
            ("192.0.2.7, [::1", "10.0.0.1"),
            ("192.0.2.7, \u{e9}", "10.0.0.1"),
            (&long, "10.0.0.1"),
            (&many, "10.0.0.2"),
        ] {
            let said = client("10.0.0.1", &[("x-forwarded-for", value)]);
            assert_eq!(said, expected, "{value:.40}");
        }
        for value in [
            "for",
            "for=",
            "by=10.0.0.9",
            "for=_hidden",
            "=;=,",
            "for=\"",
            "for=[::1",
        ] {
            let said = client("10.0.0.1", &[("forwarded", value)]);
            assert_eq!(said, "10.0.0.1", "{value}");
        }
    }

    #[test]
    fn networks_are_addresses_with_a_prefix() {
        let has = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.has(address.parse().unwrap())
        };
        assert!(has("10.1.2.3/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("192.0.2.128/25", "192.0.2.129") && !has("192.0.2.128/25", "192.0.2.127"));
        assert!(has("0.0.0.0/0", "203.0.113.1") && !has("0.0.0.0/0", "::1"));
        assert!(has("::/0", "2001:db8::1") && has("::1", "::1") && !has("::1", "::2"));
        for bad in [
            "",
            "localhost",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0/8",
            "10.0.0.0/-1",
            "10.0.0.1/8/8",
            "10.0.0.1:80",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
