//! The lines of a requirements file, as pip reads them: joined, without comments, with variables put in, and cut
//! into words.

use crate::{ResolveError, ResolveErrorKind};

/// Looks up an environment variable: this crate does not read the environment.
pub type Variables<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Lines without comments, joined where they end in a backslash, with the number they begin at. A comment ends a
/// joined line.
pub(super) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (number, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let comment = line.trim_start().starts_with('#');
        match line.strip_suffix('\\') {
            Some(begun) if !comment => {
                joined.push_str(begun);
                open = Some((number, joined));
            }
            _ => {
                if !comment {
                    joined.push_str(line);
                }
                lines.push((number, joined));
            }
        }
    }
    lines.extend(open);
    for (_, line) in &mut lines {
        *line = without_comment(line).trim().to_owned();
    }
    lines.retain(|(_, line)| !line.is_empty());
    lines
}

/// What stands before a `#` that begins the line or follows white space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (position, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return line.get(..position).unwrap_or_default();
        }
        before = c;
    }
    line
}

/// `line` with every `${NAME}` replaced, where names are upper case letters, digits and `_`; the error names a
/// variable that is not set.
pub(super) fn expanded(line: &str, variables: Variables<'_>) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let name = after
            .split_once('}')
            .map(|(name, _)| name)
            .filter(|name| !name.is_empty())
            .filter(|name| {
                name.chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            });
        if let Some(name) = name {
            let value = variables(name)
                .ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
            text.push_str(&value);
            rest = after.get(name.len() + 1..).unwrap_or_default();
        } else {
            text.push_str("${");
            rest = after;
        }
    }
    Ok(text + rest)
}

/// `line` cut at white space; quotes hold words together, and a backslash takes the next character as it is.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some('"') | None, '\\') => {
                word.get_or_insert_default().extend(characters.next());
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// A requirement's text and the options behind it: `x>=1 --hash=...`.
pub(super) fn split_options(line: &str) -> (&str, &str) {
    let mut from = 0;
    while let Some(found) = line.get(from..).and_then(|rest| rest.find(" -")) {
        let at = from + found;
        // Not the `-` of an expression: options begin with a letter or another dash.
        let next = line.get(at + 2..).and_then(|rest| rest.chars().next());
        if next.is_some_and(|c| c == '-' || c.is_ascii_alphabetic()) {
            let (requirement, options) = line.split_at(at);
            return (requirement.trim(), options.trim());
        }
        from = at + 2;
    }
    (line.trim(), "")
}

/// An error about an input file.
pub(crate) fn input_error(message: impl Into<String>) -> ResolveError {
    ResolveError::new(ResolveErrorKind::Input, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_comments_dropped() {
        let text = "# all\na >= 1 \\\n  , < 3  # why\n\nb\\\n# ends it\nc#d\n \t\nlast \\";
        let lines = logical_lines(text);
        let lines: Vec<_> = lines.iter().map(|(n, line)| (*n, line.as_str())).collect();
        assert_eq!(
            lines,
            [(2, "a >= 1   , < 3"), (5, "b"), (7, "c#d"), (9, "last")]
        );
    }

    #[test]
    fn variables_are_put_in() {
        let variables = |name: &str| (name == "TOKEN").then(|| "x".to_owned());
        assert_eq!(
            expanded("https://${TOKEN}@h/${lower}$TOKEN", &variables).unwrap(),
            "https://x@h/${lower}$TOKEN"
        );
        assert!(
            expanded("${OTHER}", &variables)
                .unwrap_err()
                .contains("OTHER")
        );
    }

    #[test]
    fn words_and_options() {
        assert_eq!(
            words("-f 'a b' --x=\"c d\" e\\ f").unwrap(),
            ["-f", "a b", "--x=c d", "e f"]
        );
        assert!(words("'a").is_err());
        assert_eq!(
            split_options("x >= 1 ; python_version > '3' --hash=sha256:0 --hash sha256:1"),
            (
                "x >= 1 ; python_version > '3'",
                "--hash=sha256:0 --hash sha256:1"
            )
        );
        assert_eq!(split_options("./a - b"), ("./a - b", ""));
    }
}
