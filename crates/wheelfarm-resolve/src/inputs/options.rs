//! The options that a line of a requirements file may hold, as pip has them.

use super::lines::{input_error, words};
use crate::ResolveError;

/// One option of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opt {
    Requirements(String),
    Constraints(String),
    Editable(String),
    Index(String),
    ExtraIndex(String),
    NoIndex,
    FindLinks(String),
    NoBinary(String),
    OnlyBinary(String),
    RequireHashes,
    Prereleases,
    TrustedHost(String),
    Hash(String),
}

/// Parses the options of a line. What is not known or cannot be done is an error that says what to do instead.
pub(super) fn parse(line: &str) -> Result<Vec<Opt>, ResolveError> {
    let mut options = Vec::new();
    let mut words = words(line).map_err(input_error)?.into_iter();
    while let Some(word) = words.next() {
        let (name, mut value) = split(&word);
        let mut value = || {
            value
                .take()
                .or_else(|| words.next())
                .filter(|value| !value.is_empty())
                .ok_or_else(|| input_error(format!("the option `{name}` needs a value")))
        };
        options.push(match name {
            "-r" | "--requirement" => Opt::Requirements(value()?),
            "-c" | "--constraint" => Opt::Constraints(value()?),
            "-e" | "--editable" => Opt::Editable(value()?),
            "-i" | "--index-url" | "--pypi-url" => Opt::Index(value()?),
            "--extra-index-url" => Opt::ExtraIndex(value()?),
            "--no-index" => Opt::NoIndex,
            "-f" | "--find-links" => Opt::FindLinks(value()?),
            "--no-binary" => Opt::NoBinary(value()?),
            "--only-binary" => Opt::OnlyBinary(value()?),
            "--require-hashes" => Opt::RequireHashes,
            "--pre" => Opt::Prereleases,
            "--trusted-host" => Opt::TrustedHost(value()?),
            "--hash" => Opt::Hash(value()?),
            name => return Err(refused(name)),
        });
    }
    Ok(options)
}

/// `--name=value`, `-xvalue` and the rest.
fn split(word: &str) -> (&str, Option<String>) {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
    }
    match word.split_at_checked(2) {
        Some((name, value)) if !value.is_empty() => {
            (name, Some(value.trim_start_matches('=').to_owned()))
        }
        _ => (word, None),
    }
}

fn refused(name: &str) -> ResolveError {
    let error = input_error(format!("the option `{name}` cannot be followed here"));
    let hint = match name {
        "--config-settings" | "--config-setting" | "-C" | "--global-option" | "--build-option" => {
            "settings of a package's build belong into wheelfarm.toml: `config-settings` under [package.NAME]"
        }
        "--prefer-binary" => {
            "pin the older version that has a wheel, or use `--only-binary NAME` for such projects"
        }
        "--use-feature" => "it is about pip itself; take it out",
        _ => "pip's options for requirements files are known, but this is none of them",
    };
    error.hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_value() {
        for line in [
            "--index-url https://h/",
            "--index-url=https://h/",
            "-i https://h/",
            "-ihttps://h/",
            "-i 'https://h/'",
        ] {
            assert_eq!(
                parse(line).unwrap(),
                [Opt::Index("https://h/".to_owned())],
                "{line}"
            );
        }
        assert_eq!(
            parse("--pre --no-binary=a,b").unwrap(),
            [Opt::Prereleases, Opt::NoBinary("a,b".to_owned())]
        );
    }

    #[test]
    fn nothing_is_ignored() {
        for line in [
            "--prefer-binary",
            "--use-feature=x",
            "-C a=b",
            "--unheard-of",
            "-q",
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.hint_text().is_some(), "{line}");
        }
        assert!(
            parse("--index-url")
                .unwrap_err()
                .to_string()
                .contains("needs a value")
        );
    }
}
