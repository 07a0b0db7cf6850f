//! User names and passwords by host, as curl, pip and uv find them.

use std::path::PathBuf;

use wheelfarm_resolve::Credential;

use crate::environment::{home, variable};

/// What the user's netrc file has, `NETRC` or `~/.netrc`.
pub(crate) fn read() -> Vec<Credential> {
    let path = variable("NETRC")
        .map(PathBuf::from)
        .or_else(|| Some(home()?.join(".netrc")));
    let text = path
        .and_then(|path| fs_err::read_to_string(path).ok())
        .unwrap_or_default();
    parse(&text)
}

/// The machines of a netrc file; macros and the `default` entry, which would send a password to any host, are
/// passed over.
fn parse(text: &str) -> Vec<Credential> {
    let mut credentials: Vec<Credential> = Vec::new();
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with('#') {
            ""
        } else {
            line
        }
    });
    let text: Vec<_> = lines.collect();
    let text = text.join("\n");
    let mut words = text.split_whitespace();
    let mut in_machine = false;
    while let Some(word) = words.next() {
        match word {
            "machine" => {
                in_machine = true;
                credentials.extend(words.next().map(|host| Credential {
                    host: host.to_owned(),
                    user: String::new(),
                    password: String::new(),
                }));
            }
            "default" | "macdef" => in_machine = false,
            "login" | "password" => {
                let value = words.next().unwrap_or_default().to_owned();
                if let Some(last) = credentials.last_mut().filter(|_| in_machine) {
                    *(if word == "login" {
                        &mut last.user
                    } else {
                        &mut last.password
                    }) = value;
                }
            }
            _ => {}
        }
    }
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_with_and_without_line_breaks() {
        let found = parse(
            "# comment\nmachine a login u password p\nmachine b\n  login v\n  password q\ndefault login x password y\n",
        );
        let found: Vec<_> = found
            .iter()
            .map(|c| (c.host.as_str(), c.user.as_str(), c.password.as_str()))
            .collect();
        assert_eq!(found, [("a", "u", "p"), ("b", "v", "q")]);
    }
}
