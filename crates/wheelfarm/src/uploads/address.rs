//! Where uploads go, and as whom.

use reqwest::Url;
use wheelfarm_index::registry::Channel;
use wheelfarm_resolve::Credential;
use wheelfarm_resolve::inputs::percent_decoded;

use crate::exit::Failure;
use crate::netrc;

/// The user of tokens, on PyPI and here.
const USER: &str = "__token__";

/// Name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// An address without secrets, and the secrets.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) address: Url,
    pub(super) login: Option<Login>,
}

/// Takes an address apart. With a channel it is that of a wheelfarm server, which has an address for each channel;
/// without one, it is where files are sent to, as it is.
pub(super) fn place(
    text: &str,
    channel: Option<&Channel>,
    token: Option<&str>,
) -> Result<Place, Failure> {
    let mut address: Url = text
        .parse()
        .map_err(|error| wrong(&format!("it is no URL: {error}")))?;
    if !matches!(address.scheme(), "http" | "https") || address.host_str().is_none() {
        return Err(wrong("it must begin with `https://` or `http://`"));
    }
    let login = login(&address, token, &netrc::read());
    // An address without a host cannot have these set; ours has one.
    let _is_set = address
        .set_username("")
        .and_then(|()| address.set_password(None));
    address.set_fragment(None);
    let segments: Vec<String> = address
        .path_segments()
        .into_iter()
        .flatten()
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect();
    let last = segments.last().map(String::as_str);
    match channel {
        None if last == Some("simple") => {
            return Err(
                wrong("at `simple/` files are listed, not taken").with_hint(Some(
                    "a wheelfarm server takes them at `legacy/` beside it".to_owned(),
                )),
            );
        }
        None => {}
        Some(_) if matches!(last, Some("simple" | "legacy")) => {
            return Err(
                wrong("it is that of one channel, and `--channel` names another").with_hint(Some(
                    "leave `--channel` out, or the end of the address".to_owned(),
                )),
            );
        }
        Some(channel) => {
            address.set_query(None);
            if let Ok(mut path) = address.path_segments_mut() {
                path.pop_if_empty();
                if *channel != Channel::main() {
                    path.push(&channel.to_string());
                }
                path.extend(["legacy", ""]);
            }
        }
    }
    Ok(Place { address, login })
}

fn wrong(what: &str) -> Failure {
    Failure::usage(format!("the index's address: {what}"))
}

/// As whom to upload: a token counts more than a password in the address, and that more than netrc.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, channel: Option<&str>) -> Result<String, Failure> {
        let channel: Option<Channel> = channel.map(|name| name.parse().unwrap());
        place(text, channel.as_ref(), Some("t")).map(|place| place.address.to_string())
    }

    #[test]
    fn a_channel_has_its_address() {
        let at = |text, channel| address(text, channel).unwrap();
        assert_eq!(
            at("http://farm:8080", Some("main")),
            "http://farm:8080/legacy/"
        );
        assert_eq!(
            at("https://farm/wheels/", Some("staging")),
            "https://farm/wheels/staging/legacy/"
        );
        // An address of another index is as it is.
        assert_eq!(at("https://me:x@i/up/?a=b#c", None), "https://i/up/?a=b");
        for (bad, channel) in [
            ("farm:8080", None),
            ("ftp://farm/", None),
            ("http://farm/simple/", None),
            ("http://farm/staging/legacy/", Some("main")),
            ("http://farm/simple", Some("main")),
        ] {
            assert!(address(bad, channel).is_err(), "{bad}");
        }
    }

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
}
