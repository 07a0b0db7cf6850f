//! What is known of a request besides what is in it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::registry::TokenId;
use crate::server::{Outbox, TrustedProxies};

/// Names a request in logs of everybody who has a part in it.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of an id that a client or a proxy gives.
const LONGEST: usize = 128;

/// What is known of a request besides what is in it. It is among the request's extensions, as an [`Arc`].
#[derive(Debug)]
pub(crate) struct Visit {
    /// Its id: the client's, if it gave one that can be logged.
    pub(crate) id: HeaderValue,
    /// Who asks.
    pub(crate) client: IpAddr,
    /// Who is at the other end of the connection, if that is a proxy.
    pub(super) proxy: Option<IpAddr>,
    /// How the connection sends files, if it can do it without reading them.
    pub(crate) outbox: Option<Arc<Outbox>>,
    /// Whose token it was sent with.
    token: OnceLock<TokenId>,
}

impl Visit {
    pub(super) fn new(
        headers: &HeaderMap,
        peer: SocketAddr,
        proxies: &TrustedProxies,
        outbox: Option<&Arc<Outbox>>,
    ) -> Arc<Self> {
        let (peer, client) = (peer.ip().to_canonical(), proxies.client(peer.ip(), headers));
        Arc::new(Self {
            id: given(headers).unwrap_or_else(fresh),
            client,
            proxy: (peer != client).then_some(peer),
            outbox: outbox.cloned(),
            token: OnceLock::new(),
        })
    }

    /// Notes whose token it was sent with, for the log.
    pub(crate) fn is_of(&self, token: &TokenId) {
        self.token.get_or_init(|| token.clone());
    }

    /// Whose token it was sent with, if that is known.
    pub(crate) fn token(&self) -> Option<&TokenId> {
        self.token.get()
    }
}

/// The id that came with a request, if it is short and plain.
fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    let bytes = value.as_bytes();
    let good = !bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(plain);
    good.then(|| value.clone())
}

/// An id that no other request of this process has, and likely none of another's.
fn fresh() -> HeaderValue {
    static PROCESS: LazyLock<u32> = LazyLock::new(|| getrandom::u32().unwrap_or_default());
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    HeaderValue::try_from(format!("{:08x}{number:08x}", *PROCESS))
        .unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_deceive_who_reads_logs_is_not_taken() {
        let long = "x".repeat(LONGEST + 1);
        for (value, taken) in [
            ("a-1.b:c/d+e=", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("a\tb", false),
            (long.as_str(), false),
        ] {
            let value = HeaderValue::from_str(value).unwrap();
            let headers = HeaderMap::from_iter([(REQUEST_ID, value.clone())]);
            let peer = "127.0.0.1:1".parse().unwrap();
            let visit = Visit::new(&headers, peer, &TrustedProxies::default(), None);
            assert_eq!(visit.id == value, taken, "{value:?}");
        }
        assert_ne!(fresh(), fresh());
    }
}
