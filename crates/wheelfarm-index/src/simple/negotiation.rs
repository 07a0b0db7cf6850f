//! Which form of a page a client gets: content type and coding, by what it accepts (RFC 9110, section 12.5).

use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::Problem;

/// A content type of the simple API ([PEP 691](https://peps.python.org/pep-0691/)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `application/vnd.pypi.simple.v1+json`
    Json,
    /// `application/vnd.pypi.simple.v1+html`
    HtmlV1,
    /// `text/html`: the same bytes as [`Form::HtmlV1`].
    Html,
}

/// How the bytes of a page are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Coding {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Brotli,
    /// gzip (RFC 1952).
    Gzip,
    /// As they are.
    Identity,
}

/// Weights are thousandths: `q=0.5` is 500.
const FULL: u16 = 1000;
/// What every content type of the API begins with, whatever its version.
const OURS: &str = "application/vnd.pypi.simple.";

impl Form {
    const ALL: [Self; 3] = [Self::Json, Self::HtmlV1, Self::Html];

    /// Its content type, as it is sent.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/vnd.pypi.simple.v1+json",
            Self::HtmlV1 => "application/vnd.pypi.simple.v1+html",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// The form that is called so.
    fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Form); 5] = [
            ("application/vnd.pypi.simple.v1+json", Form::Json),
            ("application/vnd.pypi.simple.latest+json", Form::Json),
            ("application/vnd.pypi.simple.v1+html", Form::HtmlV1),
            ("application/vnd.pypi.simple.latest+html", Form::HtmlV1),
            ("text/html", Form::Html),
        ];
        NAMES
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, form)| form)
    }

    /// The form for a request with this query and these headers. `format=` in the query wins, then `Accept`.
    pub(crate) fn negotiate(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        match query.and_then(format_of) {
            Some(name) => Self::named(&name).ok_or_else(|| {
                let shown: String = name.chars().take(80).collect();
                not_acceptable(format!("there is no format `{shown}`"))
            }),
            None => Self::accepted(headers),
        }
    }

    /// Without `Accept`, or if it names nothing of ours: HTML, which every client that knows nothing else reads. A
    /// client that asks for nothing but versions of the API that are not here is told so.
    fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut weighed = Weighed::default();
        let mut only_ours = true;
        let mut any = false;
        for (range, weight) in elements(headers, &header::ACCEPT) {
            any = true;
            if range == "*/*" {
                weighed.anything = Some(weight);
            } else if range.eq_ignore_ascii_case("application/*") {
                weighed.application = Some(weight);
            } else if range.eq_ignore_ascii_case("text/*") {
                weighed.text = Some(weight);
            } else if let Some(form) = Self::named(range) {
                // `latest` beside `v1`: the better of the two.
                let slot = weighed.named.get_mut(form as usize);
                if let Some(slot) = slot {
                    *slot = Some(slot.map_or(weight, |known: u16| known.max(weight)));
                }
                continue;
            }
            only_ours &= range
                .get(..OURS.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(OURS));
        }
        match weighed.best() {
            Some(form) => Ok(form),
            None if any && only_ours => Err(not_acceptable(
                "the simple API is served in version 1 only".to_owned(),
            )),
            None => Ok(Self::Html),
        }
    }

    /// Whether this is JSON.
    pub(crate) fn is_json(self) -> bool {
        self == Self::Json
    }
}

/// What an `Accept` says, by how closely it says it.
#[derive(Default)]
struct Weighed {
    /// By [`Form`].
    named: [Option<u16>; 3],
    application: Option<u16>,
    text: Option<u16>,
    anything: Option<u16>,
}

impl Weighed {
    /// The form with the highest weight. Of equals one that is called by its name wins, JSON first; of those that are
    /// only meant by `*`, HTML.
    fn best(&self) -> Option<Form> {
        let weigh = |form: Form| {
            let group = match form {
                Form::Html => self.text,
                Form::Json | Form::HtmlV1 => self.application,
            };
            let named = self.named.get(form as usize).copied().flatten();
            let weight = named.or(group).or(self.anything)?;
            let rank = match (named, form) {
                (Some(_), Form::Json) => 6,
                (Some(_), Form::HtmlV1) => 5,
                (Some(_), Form::Html) => 4,
                (None, Form::Html) => 3,
                (None, Form::Json) => 2,
                (None, Form::HtmlV1) => 1,
            };
            (weight > 0).then_some((weight, rank, form))
        };
        let best = Form::ALL.into_iter().filter_map(weigh);
        best.max_by_key(|&(weight, rank, _)| (weight, rank))
            .map(|(.., form)| form)
    }
}

impl Coding {
    /// Its name in `Content-Encoding`; none for bytes as they are.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Zstd => Some("zstd"),
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

    /// The coding for a request with these headers: the client's favourite, and of equals the one that costs both
    /// sides least. Without `Accept-Encoding` bytes are sent as they are: so it is meant by clients that leave it out.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Self {
        let mut weights = [None; 4];
        let mut others = None;
        for (name, weight) in elements(headers, &header::ACCEPT_ENCODING) {
            let coding = match name {
                "zstd" => Self::Zstd,
                "br" => Self::Brotli,
                "gzip" | "x-gzip" => Self::Gzip,
                "identity" => Self::Identity,
                "*" => {
                    others = Some(weight);
                    continue;
                }
                _ => continue,
            };
            if let Some(slot) = weights.get_mut(coding as usize) {
                *slot = Some(weight);
            }
        }
        let weigh = |coding: Self| {
            let said = weights.get(coding as usize).copied().flatten();
            said.or(others).unwrap_or(0)
        };
        let compressed = [Self::Zstd, Self::Brotli, Self::Gzip];
        // The first of several with the same weight: `max_by_key` would take the last.
        let best = compressed.into_iter().rev().max_by_key(|it| weigh(*it));
        let identity = weights.get(Self::Identity as usize).copied().flatten();
        best.filter(|&best| weigh(best) > 0 && weigh(best) >= identity.unwrap_or(0))
            .unwrap_or(Self::Identity)
    }
}

/// The elements of a list header with weights, as they come. Elements that make no sense are left out.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'a str, u16)> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?;
            let mut weight = FULL;
            for part in parts {
                if let Some((key, value)) = part.split_once('=')
                    && key.trim_end().eq_ignore_ascii_case("q")
                {
                    weight = parse_weight(value.trim_start())?;
                }
            }
            Some((name, weight))
        })
}

/// `0.25` as 250: one digit, and at most three after the point (RFC 9110, section 12.4.2).
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = match whole {
        "0" => 0,
        "1" => FULL,
        _ => return None,
    };
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    (whole + thousandths <= FULL).then_some(whole + thousandths)
}

/// The value of `format` in a query. A `+` is one, since content types have them and people do not escape it.
fn format_of(query: &str) -> Option<String> {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("format="))?;
    Some(wheelfarm_resolve::inputs::percent_decoded(value))
}

fn not_acceptable(title: String) -> Problem {
    let mut known: Vec<_> = Form::ALL.iter().map(|form| form.content_type()).collect();
    known.push("application/vnd.pypi.simple.latest+json");
    Problem::new(StatusCode::NOT_ACCEPTABLE, title)
        .with_detail(format!("ask for one of: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn clients_get_the_form_that_they_prefer() {
        const V1: &str = "application/vnd.pypi.simple.v1";
        let pip = format!("{V1}+json, {V1}+html; q=0.1, text/html; q=0.01");
        let uv = format!("{V1}+json, {V1}+html;q=0.2, text/html;q=0.01");
        let poetry = format!("{V1}+json, */*;q=0.1");
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let latest = "application/vnd.pypi.simple.latest";
        for (accept, form) in [
            (pip.as_str(), Form::Json),
            (&uv, Form::Json),
            (&poetry, Form::Json),
            (browser, Form::Html),
            ("*/*", Form::Html),
            ("", Form::Html),
            ("text/html", Form::Html),
            ("TEXT/HTML", Form::Html),
            ("text/*", Form::Html),
            ("application/*", Form::Json),
            ("image/png", Form::Html),
            ("application/json", Form::Html),
            ("nonsense", Form::Html),
            (";q=1", Form::Html),
            (&format!("{V1}+html"), Form::HtmlV1),
            (&format!("{latest}+html"), Form::HtmlV1),
            (&format!("{latest}+json"), Form::Json),
            (
                &format!("{V1}+json;q=0.2, {latest}+json;q=0.9, text/html;q=0.5"),
                Form::Json,
            ),
            // Equal weights: JSON, and what is named before what is meant by `*`.
            (&format!("text/html, {V1}+html, {V1}+json"), Form::Json),
            (&format!("text/html;q=0.5, {V1}+html;q=0.5"), Form::HtmlV1),
            (&format!("*/*, {V1}+html"), Form::HtmlV1),
            (&format!("{V1}+json;q=0, text/html;q=0.001"), Form::Html),
            (&format!("{V1}+json;q=0.3, text/html;q=0.31"), Form::Html),
            (&format!("{V1}+json;q=0, */*"), Form::Html),
            (
                &format!("{V1}+json ; Q=0.9 , text/html ; q = 0.8"),
                Form::Json,
            ),
            // A weight that is none: as if it were not there.
            (&format!("{V1}+json;q=high, text/html;q=0.1"), Form::Html),
            (&format!("{V1}+json;q=2, text/html;q=0.1"), Form::Html),
            (
                &format!("{latest}+json, application/vnd.pypi.simple.v9+json"),
                Form::Json,
            ),
        ] {
            let chosen = Form::negotiate(None, &headers(&header::ACCEPT, &[accept]));
            assert_eq!(chosen.unwrap(), form, "{accept}");
        }
        assert_eq!(Form::negotiate(None, &HeaderMap::new()), Ok(Form::Html));
        let several = headers(&header::ACCEPT, &["text/html;q=0.5", &format!("{V1}+json")]);
        assert_eq!(Form::negotiate(None, &several), Ok(Form::Json));
    }

    #[test]
    fn other_versions_of_the_api_are_not_here() {
        for accept in [
            "application/vnd.pypi.simple.v2+json",
            "application/vnd.pypi.simple.v2+json, application/vnd.pypi.simple.v3+html;q=0.1",
            "Application/Vnd.PyPI.Simple.V2+json",
        ] {
            let refused = Form::negotiate(None, &headers(&header::ACCEPT, &[accept]));
            assert_eq!(refused.unwrap_err().status, 406, "{accept}");
        }
    }

    #[test]
    fn the_query_wins() {
        let html = headers(&header::ACCEPT, &["text/html"]);
        for (query, form) in [
            ("format=application/vnd.pypi.simple.v1+json", Form::Json),
            ("format=application/vnd.pypi.simple.v1%2Bjson", Form::Json),
            (
                "format=application%2Fvnd.pypi.simple.latest%2bhtml",
                Form::HtmlV1,
            ),
            ("x=y&format=text/html", Form::Html),
            ("x=y", Form::Html),
        ] {
            assert_eq!(Form::negotiate(Some(query), &html), Ok(form), "{query}");
        }
        for query in ["format=", "format=json5", "format=%00%ff"] {
            let refused = Form::negotiate(Some(query), &html).unwrap_err();
            assert_eq!(refused.status, 406, "{query}");
        }
    }

    #[test]
    fn codings_are_what_clients_like_best() {
        for (accept, coding) in [
            ("gzip, deflate, zstd", Coding::Zstd),
            ("gzip, deflate", Coding::Gzip),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("gzip, br", Coding::Brotli),
            ("identity", Coding::Identity),
            ("Identity", Coding::Identity),
            ("deflate", Coding::Identity),
            ("", Coding::Identity),
            ("*", Coding::Zstd),
            ("*;q=0.5, gzip", Coding::Gzip),
            ("zstd;q=0, *", Coding::Brotli),
            ("gzip;q=0", Coding::Identity),
            ("gzip;q=0.2, identity;q=0.5", Coding::Identity),
            ("zstd;q=0.2, gzip;q=0.8", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            // Nothing is left: bytes as they are do less harm than an error.
            ("identity;q=0", Coding::Identity),
        ] {
            let chosen = Coding::negotiate(&headers(&header::ACCEPT_ENCODING, &[accept]));
            assert_eq!(chosen, coding, "{accept}");
        }
        assert_eq!(Coding::negotiate(&HeaderMap::new()), Coding::Identity);
    }
}
