//! From a failed build's log to the system package that was missing.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use crate::environment::PackageManager;

const DATA: &str = include_str!("hints.toml");

/// Texts that compilers, pkg-config, meson, linkers and setup scripts print, each with the missing thing's name.
static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"fatal error: (\S+\.h(?:pp|xx)?): No such file", "header"),
        (r#"Dependency "([^"\s]+)" not found"#, "pkg-config module"),
        (
            r"Package '?([^'\s,]+)'?[ ,].*not found",
            "pkg-config module",
        ),
        (r"No package '([^']+)' found", "pkg-config module"),
        (
            r"\b([\w.-]+[-_]config)\b.*(?:not found|No such file)",
            "program",
        ),
        (r"No such file or directory: '([\w.+-]+)'", "program"),
        (r"cannot find -l(\S+?):?(?:\s|$)", "library"),
        (r"development packages? of ([\w.+-]+)", "library"),
        (
            r"make sure the ([\w.+-]+) .*development packages are installed",
            "library",
        ),
    ]
    .into_iter()
    .map(|(pattern, kind)| (Regex::new(pattern).expect("checked by a test"), kind))
    .collect()
});

static PROVIDERS: LazyLock<Hints> =
    LazyLock::new(|| toml::from_str(DATA).expect("hints.toml is checked by a test"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hints {
    provides: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    names: Vec<String>,
    apt: Option<String>,
    dnf: Option<String>,
    apk: Option<String>,
}

/// Something a build looked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// `header`, `program`, `pkg-config module` or `library`.
    pub kind: &'static str,
    /// Its name, as in the log.
    pub name: String,
    /// The system package that has it, where the table knows.
    pub package: Option<&'static str>,
}

/// The first missing header, program, module or library that `log` tells of; one whose package is known, if any.
pub fn missing(log: &str, manager: PackageManager) -> Option<Missing> {
    let mut unknown = None;
    for line in log.lines() {
        for (pattern, kind) in PATTERNS.iter() {
            let Some(name) = pattern.captures(line).and_then(|captures| captures.get(1)) else {
                continue;
            };
            let found = Missing {
                kind,
                name: name.as_str().to_owned(),
                package: provider(name.as_str(), manager),
            };
            if found.package.is_some() {
                return Some(found);
            }
            unknown.get_or_insert(found);
        }
    }
    unknown
}

fn provider(name: &str, manager: PackageManager) -> Option<&'static str> {
    let provider = PROVIDERS
        .provides
        .iter()
        .find(|provider| provider.names.iter().any(|known| known == name))?;
    match manager {
        PackageManager::Apt => provider.apt.as_deref(),
        PackageManager::Dnf => provider.dnf.as_deref(),
        PackageManager::Apk => provider.apk.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_real_builds() {
        // What the projects' builds print on a Debian without the -dev package.
        for (line, kind, name, package) in [
            (
                "Error: pg_config executable not found.",
                "program",
                "pg_config",
                Some("libpq-dev"),
            ),
            (
                "psycopg/psycopg.h:35:10: fatal error: libpq-fe.h: No such file or directory",
                "header",
                "libpq-fe.h",
                Some("libpq-dev"),
            ),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: 'curl-config'",
                "program",
                "curl-config",
                Some("libcurl4-openssl-dev"),
            ),
            (
                "/bin/sh: 1: krb5-config: not found",
                "program",
                "krb5-config",
                Some("libkrb5-dev"),
            ),
            (
                "../meson.build:31:12: ERROR: Dependency \"cairo\" not found, tried pkgconfig",
                "pkg-config module",
                "cairo",
                Some("libcairo2-dev"),
            ),
            (
                "Package 'libffi', required by 'virtual:world', not found",
                "pkg-config module",
                "libffi",
                Some("libffi-dev"),
            ),
            (
                "/usr/bin/ld: cannot find -lpq: No such file or directory",
                "library",
                "pq",
                Some("libpq-dev"),
            ),
            (
                "x.c:1:10: fatal error: nowhere.h: No such file or directory",
                "header",
                "nowhere.h",
                None,
            ),
        ] {
            let found = missing(&format!("before\n{line}\nafter"), PackageManager::Apt)
                .unwrap_or_else(|| panic!("{line}"));
            assert_eq!(
                (found.kind, found.name.as_str(), found.package),
                (kind, name, package),
                "{line}"
            );
        }
        assert_eq!(
            missing(
                "x.c:3: error: expected ';' before 'return'",
                PackageManager::Apt
            ),
            None
        );
    }

    #[test]
    fn a_known_package_is_preferred() {
        let log = "fatal error: nowhere.h: No such file or directory\nfatal error: ffi.h: No such file or directory";
        assert_eq!(
            missing(log, PackageManager::Dnf).unwrap().package,
            Some("libffi-devel")
        );
    }
}
