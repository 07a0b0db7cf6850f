//! Servers that commands talk to themselves, farms and indexes: where they are, as whom, and by which client.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url};
use wheelfarm_resolve::inputs::percent_decoded;
use wheelfarm_resolve::{Credential, IndexSettings};

use crate::exit::Failure;
use crate::netrc;

/// The user of tokens, on PyPI and here.
const USER: &str = "__token__";

/// Name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Takes an address apart into one without secrets, and the secrets: a token counts more than a password in the address,
/// and that more than netrc. `whose` is for errors: "the farm's address".
pub(crate) fn address(
    text: &str,
    token: Option<&str>,
    whose: &str,
) -> Result<(Url, Option<Login>), Failure> {
    let mut address: Url = text
        .parse()
        .map_err(|error| Failure::usage(format!("{whose}: it is no URL: {error}")))?;
    if !matches!(address.scheme(), "http" | "https") || address.host_str().is_none() {
        let error = format!("{whose}: it must begin with `https://` or `http://`");
        return Err(Failure::usage(error));
    }
    let login = login(&address, token, &netrc::read());
    // An address without a host cannot have these set; ours has one.
    let _is_set = address
        .set_username("")
        .and_then(|()| address.set_password(None));
    address.set_fragment(None);
    Ok((address, login))
}

fn login(address: &Url, token: Option<&str>, known: &[Credential]) -> Option<Login> {
    let decoded = |text: &str| percent_decoded(text);
    let user = Some(address.username())
        .filter(|user| !user.is_empty())
        .map(decoded);
    if let Some(password) = token.map(str::to_owned).or(address.password().map(decoded)) {
        let user = user.unwrap_or_else(|| USER.to_owned());
        return Some(Login { user, password });
    }
    let host = address.host_str()?;
    let with_port = address.port().map(|port| format!("{host}:{port}"));
    let found = known.iter().find(|known| {
        let is_here = known.host == host || Some(&known.host) == with_port.as_ref();
        is_here && user.as_ref().is_none_or(|user| *user == known.user)
    })?;
    Some(Login {
        user: found.user.clone(),
        password: found.password.clone(),
    })
}

/// What clients of all servers have: a name, the certificates of this machine, an end of waiting for a connection.
/// `and` says what one has beside that.
pub(crate) fn client(
    settings: &IndexSettings,
    and: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, Failure> {
    let mut client = Client::builder()
        .user_agent(concat!("wheelfarm/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(20));
    if let Some(path) = &settings.ca_bundle {
        let pem = fs_err::read(path).map_err(|error| Failure::machine(error.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| {
            let path = path.display();
            Failure::machine(format!("`{path}` is no PEM file of certificates: {error}"))
        })?;
        client = client.tls_certs_merge(certificates);
    }
    let client = and(client).build();
    client.map_err(|error| Failure::machine(wheelfarm_resolve::chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_more_than_a_password_and_that_more_than_netrc() {
        let netrc = [Credential {
            host: "i:81".to_owned(),
            user: "n".to_owned(),
            password: "of netrc".to_owned(),
        }];
        let login = |text: &str, token| {
            let login = login(&text.parse().unwrap(), token, &netrc)?;
            Some(format!("{} {}", login.user, login.password))
        };
        assert_eq!(login("http://i/", Some("t")).unwrap(), "__token__ t");
        assert_eq!(login("http://me@i/", Some("t")).unwrap(), "me t");
        assert_eq!(login("http://me:a%40b@i:81/", None).unwrap(), "me a@b");
        assert_eq!(login("http://i:81/", None).unwrap(), "n of netrc");
        assert_eq!(login("http://i/", None), None);
        assert_eq!(login("http://me@i:81/", None), None);
    }

    #[test]
    fn an_address_keeps_no_secret() {
        let (address, login) = address("https://me:x@i/up/?a=b#c", None, "it").unwrap();
        assert_eq!(address.as_str(), "https://i/up/?a=b");
        assert_eq!(login.unwrap().password, "x");
        for bad in ["farm:8080", "ftp://farm/", "nonsense"] {
            let error = super::address(bad, None, "the farm's address").unwrap_err();
            let said = error.message;
            assert!(said.starts_with("the farm's address"), "{said}");
        }
    }
}
