//! The address by which the client reached this server: for snippets that can be copied.

use http::request::Parts;
use http::{HeaderMap, header};

/// `https://wheels.example.org` and what a proxy strips from paths; never ends in a slash.
///
/// It is what the client, or the proxy in front of it, says, so it is shown to that client and nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(String);

impl Address {
    /// From `X-Forwarded-Proto`, `-Host`, `-Prefix`, which requests have from trusted proxies only, else from `Host`. What
    /// is no host or path is left out.
    pub(super) fn of(parts: &Parts) -> Self {
        let headers = &parts.headers;
        let forwarded = first(headers, "x-forwarded-host").filter(|host| is_host(host));
        let host = forwarded
            .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
            .or_else(|| first(headers, header::HOST.as_str()))
            .filter(|host| is_host(host))
            .unwrap_or("localhost");
        let scheme = first(headers, "x-forwarded-proto")
            .or_else(|| parts.uri.scheme_str())
            .filter(|scheme| *scheme == "https")
            .unwrap_or("http");
        let prefix = first(headers, "x-forwarded-prefix")
            .map(|prefix| prefix.trim_end_matches('/'))
            .filter(|prefix| is_path(prefix))
            .unwrap_or_default();
        Self(format!("{scheme}://{host}{prefix}"))
    }

    /// It, without a slash at its end.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port, as they stand in the address.
    pub(super) fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// The host without its port: for `--trusted-host`.
    pub(super) fn host(&self) -> &str {
        let authority = self.authority();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    /// Whether installers take it as it is: by TLS, or on their own machine.
    pub(super) fn is_trusted(&self) -> bool {
        self.0.starts_with("https://") || matches!(self.host(), "localhost" | "127.0.0.1" | "[::1]")
    }
}

/// The first of the values that proxies string together.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim)
}

fn is_host(text: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !text.is_empty() && text.len() <= 255 && text.chars().all(plain)
}

fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    text.starts_with('/') && text.len() <= 200 && !text.contains("//") && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn address(headers: &[(&str, &str)]) -> String {
        let mut request = Request::builder().uri("/projects/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Address::of(&parts).as_str().to_owned()
    }

    #[test]
    fn the_proxy_knows_better_than_the_connection() {
        assert_eq!(
            address(&[("host", "10.0.0.1:8080")]),
            "http://10.0.0.1:8080"
        );
        let proxied = [
            ("host", "10.0.0.1:8080"),
            ("x-forwarded-host", "wheels.example.org, inner"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/python/"),
        ];
        assert_eq!(address(&proxied), "https://wheels.example.org/python");
    }

    #[test]
    fn what_is_no_host_is_not_shown() {
        for bad in ["a\" onload=x", "a/b", "a b", "<script>", ""] {
            assert_eq!(
                address(&[("x-forwarded-host", bad), ("host", bad)]),
                "http://localhost"
            );
        }
        let bad = [
            ("host", "h"),
            ("x-forwarded-prefix", "//evil.example/"),
            ("x-forwarded-proto", "javascript"),
        ];
        assert_eq!(address(&bad), "http://h");
    }

    #[test]
    fn the_port_is_no_part_of_the_host() {
        assert_eq!(Address("http://wheels:8080/x".into()).host(), "wheels");
        assert_eq!(Address("http://[::1]:8080".into()).host(), "[::1]");
        assert!(Address("http://[::1]:8080".into()).is_trusted());
        assert!(!Address("http://wheels:8080".into()).is_trusted());
    }
}
