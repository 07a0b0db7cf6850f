//! `Name: value` headers, the format of `WHEEL` and `METADATA`.

use std::fmt;

/// Headers in their order, several of one name allowed (the email header format that
/// [core metadata](https://packaging.python.org/en/latest/specifications/core-metadata/) uses).
///
/// Names compare without case. What follows the first empty line, METADATA's description, is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Parses a text; the error says which line is no header.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut headers: Vec<(String, String)> = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in text.lines().enumerate() {
            // A line of white space goes on with a value: licenses in METADATA have paragraphs.
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                let Some((_, value)) = headers.last_mut() else {
                    return Err("it begins with a continuation line".to_owned());
                };
                value.push('\n');
                value.push_str(line.trim());
                continue;
            }
            match line.split_once(':') {
                Some((name, value))
                    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()) =>
                {
                    headers.push((name.to_owned(), value.trim().to_owned()));
                }
                _ => return Err(format!("line {} is not a `Name: value` header", number + 1)),
            }
        }
        Ok(Self(headers))
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All values of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Removes all headers called `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// Adds a header at the end. Line breaks in the value become continuation lines.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "{name}: {}", value.replace('\n', "\n ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        let text = "Name: x\nrequires-dist: a\nRequires-Dist: b ; python_version < \"3\"\nLicense: two\n lines\n";
        let headers =
            Headers::parse(&format!("{text}\nRequires-Dist: in the description\n")).unwrap();
        assert_eq!(headers.get("NAME"), Some("x"));
        assert_eq!(headers.get_all("Requires-Dist").count(), 2);
        assert_eq!(headers.get("License"), Some("two\nlines"));
        assert_eq!(headers.to_string(), text);
    }

    #[test]
    fn a_value_goes_on_after_a_line_of_white_space() {
        let text = "License: one\n        \n        two\nRequires-Python: >=3.9\n\ndescription";
        let headers = Headers::parse(text).unwrap();
        assert_eq!(headers.get("License"), Some("one\n\ntwo"));
        assert_eq!(headers.get("Requires-Python"), Some(">=3.9"));
        let printed = headers.to_string();
        assert_eq!(Headers::parse(&printed), Ok(headers));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [" x: y\n", "no colon\n", ": empty name\n", "a b: space\n"] {
            assert!(Headers::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Headers::parse("a: b\r\n\r\nbody without colon").is_ok());
    }
}
