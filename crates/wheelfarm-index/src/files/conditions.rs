//! Conditions of a request on what the client has already
//! ([RFC 9110, section 13](https://www.rfc-editor.org/rfc/rfc9110#section-13)).

use http::{HeaderMap, HeaderName, header};

/// Whether what has the strong `etag` must not be sent, since `If-Match` wants another one.
pub(crate) fn is_not_what_is_wanted(headers: &HeaderMap, etag: &str) -> bool {
    headers.contains_key(header::IF_MATCH) && !listed(headers, header::IF_MATCH, |tag| tag == etag)
}

/// Whether the client has what has this `etag`: `If-None-Match` names it, weakly or not.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let strong = |tag: &str| tag.strip_prefix("W/").map_or(tag == etag, |it| it == etag);
    listed(headers, header::IF_NONE_MATCH, strong)
}

/// Whether `Range` counts: `If-Range` is absent or names exactly this strong `etag`. A date never does, as we give none.
pub(crate) fn range_counts(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get(header::IF_RANGE)
        .is_none_or(|value| value.as_bytes() == etag.as_bytes())
}

fn listed(headers: &HeaderMap, name: HeaderName, is_it: impl Fn(&str) -> bool) -> bool {
    // Tags of ours have no comma in them, so what one cuts in two was none of them.
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || is_it(tag))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_known_tag_is_named_in_a_list_or_by_a_star() {
        for (value, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            let headers = with(header::IF_NONE_MATCH, value);
            assert_eq!(is_known(&headers, "\"a\""), expected, "{value}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }

    #[test]
    fn only_a_strong_tag_matches_where_bytes_are_put_together() {
        for (value, expected) in [("\"a\"", true), ("W/\"a\"", false), ("\"b\"", false)] {
            let headers = with(header::IF_RANGE, value);
            assert_eq!(range_counts(&headers, "\"a\""), expected, "{value}");
            let headers = with(header::IF_MATCH, value);
            assert_eq!(is_not_what_is_wanted(&headers, "\"a\""), !expected);
        }
        let date = with(header::IF_RANGE, "Sat, 21 Nov 2026 00:00:00 GMT");
        assert!(!range_counts(&date, "\"a\""));
        assert!(range_counts(&HeaderMap::new(), "\"a\""));
        assert!(!is_not_what_is_wanted(&HeaderMap::new(), "\"a\""));
        assert!(!is_not_what_is_wanted(
            &with(header::IF_MATCH, "*"),
            "\"a\""
        ));
    }
}
