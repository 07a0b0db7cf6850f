//! Where uploads go.

use reqwest::Url;
use wheelfarm_index::registry::Channel;

use crate::exit::Failure;
use crate::servers::{self, Login};

const WHOSE: &str = "the index's address";

/// The address that files are sent to, and as whom. With a channel `text` is that of a wheelfarm server, which has an
/// address for each channel; without one, it is where files are sent to, as it is.
pub(super) fn place(
    text: &str,
    channel: Option<&Channel>,
    token: Option<&str>,
) -> Result<(Url, Option<Login>), Failure> {
    let (mut address, login) = servers::address(text, token, WHOSE)?;
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
    Ok((address, login))
}

fn wrong(what: &str) -> Failure {
    Failure::usage(format!("{WHOSE}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, channel: Option<&str>) -> Result<String, Failure> {
        let channel: Option<Channel> = channel.map(|name| name.parse().unwrap());
        place(text, channel.as_ref(), Some("t")).map(|(address, _)| address.to_string())
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
}
