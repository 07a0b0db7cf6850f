//! A project's HTML page ([PEP 503](https://peps.python.org/pep-0503/)), for indexes that have nothing else. Not a
//! parser of HTML: it finds the tags `a`, `base` and `meta` with their attributes, whatever stands between them.

use std::collections::BTreeMap;

use reqwest::Url;
use wheelfarm_types::ProjectName;

use super::entry::Raw;
use super::page::MirroredProject;

/// A start tag: its name in lower case, attributes with their values, and the text up to the next tag.
struct Tag<'a> {
    name: String,
    attributes: Vec<(String, String)>,
    text: &'a str,
}

impl MirroredProject {
    /// Reads an HTML page that was at `base`.
    pub(super) fn from_html(bytes: &[u8], project: &ProjectName, base: &Url) -> Self {
        let page = String::from_utf8_lossy(bytes);
        let mut base = base.clone();
        let mut read = Self::default();
        for tag in tags(&page) {
            let attribute = |wanted: &str| {
                let found = tag.attributes.iter().find(|(name, _)| name == wanted);
                found.map(|(_, value)| value.as_str())
            };
            match tag.name.as_str() {
                "base" => {
                    let joined = attribute("href").and_then(|href| base.join(href).ok());
                    base = joined.unwrap_or(base);
                }
                "meta" => {
                    let content = attribute("content").unwrap_or_default();
                    let value = serde_json::Value::from(content);
                    match attribute("name") {
                        Some("pypi:project-status") => {
                            read.status.status = serde_json::from_value(value).unwrap_or_default();
                        }
                        Some("pypi:project-status-reason") => {
                            read.status.reason = Some(content.to_owned());
                        }
                        _ => {}
                    }
                }
                "a" => {
                    let Some(href) = attribute("href") else {
                        continue;
                    };
                    let (address, fragment) = href.split_once('#').unwrap_or((href, ""));
                    let hash = fragment
                        .split('&')
                        .find_map(|part| part.split_once('='))
                        .map(|(name, value)| (name.to_owned(), value.to_owned()));
                    let sha256_of = |value: &str| value.strip_prefix("sha256=")?.parse().ok();
                    let metadata = attribute("data-core-metadata")
                        .or_else(|| attribute("data-dist-info-metadata"))
                        .and_then(sha256_of);
                    let filename = unescaped(tag.text.trim());
                    read.add(
                        Raw {
                            filename: &filename,
                            url: address,
                            hashes: BTreeMap::from_iter(hash),
                            size: None,
                            uploaded: None,
                            requires_python: attribute("data-requires-python"),
                            metadata,
                            yanked: attribute("data-yanked"),
                            provenance: attribute("data-provenance"),
                        }
                        .read(project, &base),
                    );
                }
                _ => {}
            }
        }
        read
    }
}

/// All start tags of a page.
fn tags(page: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = page;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('<')?;
            if let Some(comment) = after.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let length = after
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(after.len());
            let (name, after) = after.split_at(length);
            if name.is_empty() {
                rest = after;
                continue;
            }
            let (attributes, after) = attributes(after);
            rest = after;
            let text = after.split('<').next().unwrap_or_default();
            let name = name.to_ascii_lowercase();
            return Some(Tag {
                name,
                attributes,
                text,
            });
        }
    })
}

/// The attributes at the beginning of `rest`, and what follows the tag's end.
fn attributes(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let Some(first) = rest.chars().next() else {
            return (found, rest);
        };
        if first == '>' {
            return (found, rest.get(1..).unwrap_or_default());
        }
        let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        // At least one character, so that this ends.
        let length = first.len_utf8()
            + rest
                .get(first.len_utf8()..)
                .and_then(|rest| rest.find(ends))
                .unwrap_or(rest.len() - first.len_utf8());
        let (name, after) = rest.split_at(length);
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            found.push((name.to_ascii_lowercase(), String::new()));
            rest = after;
            continue;
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = if let Some(quote) = quote {
            let inner = value.get(1..).unwrap_or_default();
            inner.split_once(quote).unwrap_or((inner, ""))
        } else {
            let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>');
            value.split_at(end.unwrap_or(value.len()))
        };
        found.push((name.to_ascii_lowercase(), unescaped(value)));
        rest = after;
    }
}

/// `text` with character references resolved: numbers, and the names that pages of indexes have.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let reference = after.split_once(';').filter(|(name, _)| name.len() <= 8);
        let meant = reference.and_then(|(name, after)| Some((character(name)?, after)));
        let (character, after) = meant.unwrap_or(('&', after));
        plain.push(character);
        rest = after;
    }
    plain + rest
}

fn character(name: &str) -> Option<char> {
    let number = |text: &str, radix| char::from_u32(u32::from_str_radix(text, radix).ok()?);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let name = name.strip_prefix('#')?;
            match name.strip_prefix(['x', 'X']) {
                Some(digits) => number(digits, 16),
                None => number(name, 10),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wheelfarm_types::Digest;

    use super::*;
    use crate::registry::Status;

    fn read(page: &str) -> MirroredProject {
        let base = "http://host/simple/x/".parse().unwrap();
        MirroredProject::from_html(page.as_bytes(), &"x".parse().unwrap(), &base)
    }

    #[test]
    fn facts_of_attributes() {
        let digest = Digest::of("x");
        let page = format!(
            "<!DOCTYPE html><html><head><meta name=\"pypi:project-status\" content=\"deprecated\">\
             <base href=\"/pool/\"></head><body><!-- <a href=\"x-0.zip\">x-0.zip</a> -->\n\
             <A class=b\n HREF='x-1-py3-none-any.whl#sha256={digest}' data-requires-python=\"&gt;=3.8,&#60;4\" \
             data-dist-info-metadata=\"sha256={digest}\" data-yanked=\"a &amp; b\" >\n x-1-py3-none-any.whl </a><br/>\
             <a href=x-2.zip#sha256={digest} data-yanked>x-2.zip</a><a href=\"x-3.zip#md5=00\">x-3.zip</a>\
             <a href=\"x-4.zip\">x-4.zip</a><a>x-5.zip</a><a href=\"/up/\">up</a>"
        );
        let page = read(&page);
        assert_eq!((page.status.status, page.unhashed), (Status::Deprecated, 2));
        let [wheel, sdist] = page.files.as_slice() else {
            panic!("{page:?}");
        };
        assert_eq!(wheel.url, "http://host/pool/x-1-py3-none-any.whl");
        assert_eq!((wheel.sha256, wheel.metadata), (digest, Some(digest)));
        assert_eq!(wheel.requires_python.as_deref(), Some(">=3.8,<4"));
        let reason = |file: &super::super::page::MirroredFile| file.yanked.clone().unwrap().reason;
        assert_eq!(reason(wheel).as_deref(), Some("a & b"));
        assert_eq!((sdist.filename.as_str(), reason(sdist)), ("x-2.zip", None));
    }

    #[test]
    fn rubbish_is_no_file() {
        for page in [
            "",
            "<",
            "<a",
            "<a href",
            "<a href=",
            "<a href='",
            "<a href=\"x",
            "<!--",
            "<a =>",
            "<a é=1 é>",
            "</a>",
            "<<a href=x>>",
            "<a href=x>&#xD800;&#99999999;&;&x",
            "&",
            "<a href=\"http://[\">x-1.zip</a>",
        ] {
            assert_eq!(read(page), MirroredProject::default(), "{page}");
        }
        let page = "<a href='x'".repeat(100_000);
        assert_eq!(read(&page).files, []);
    }
}
