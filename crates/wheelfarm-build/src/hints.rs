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
        (
            r"pkg-config --exists ([\w.+-]+)' returned",
            "pkg-config module",
        ),
        (r"Run-time dependency (\S+) found: NO", "pkg-config module"),
        (
            r"system library `([^`]+)` required by crate",
            "pkg-config module",
        ),
        (r"find directory of (OpenSSL) installation", "library"),
        (r"\b([\w.+-]+) is not installed or not in path", "program"),
        (r"\b(\w+) executable not found", "program"),
        (
            r"(?:Program|find-program) '?([\w.+-]+)'?.*(?:not found| found: NO)",
            "program",
        ),
        (r"Unknown compiler\(s\): \[\['([\w.+-]+)'", "program"),
        (r"\b([\w.+-]+): (?:command )?not found", "program"),
        (
            r"(?:can't find|error:) (Rust) (?:compiler|not found)",
            "program",
        ),
        (r"^(Rust) not found", "program"),
        (r"Unable to load dependency (\w+)", "library"),
        (r"Could NOT find ([\w.+-]+)", "library"),
        (
            r"headers or library files could not be found for (\w+)",
            "library",
        ),
        (r"did not find (\w+) version \d+ headers", "library"),
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
                "error: xmlsec1 is not installed or not in path.",
                "program",
                "xmlsec1",
                Some("libxmlsec1-dev"),
            ),
            (
                "error: Unable to load dependency HDF5, make sure HDF5 is installed properly",
                "library",
                "HDF5",
                Some("libhdf5-dev"),
            ),
            (
                "proj executable not found. Please set the PROJ_DIR variable.",
                "program",
                "proj",
                Some("libproj-dev"),
            ),
            (
                "error: can't find Rust compiler",
                "program",
                "Rust",
                Some("cargo"),
            ),
            (
                "Rust not found, installing into a temporary directory",
                "program",
                "Rust",
                Some("cargo"),
            ),
            (
                "  Could not find directory of OpenSSL installation, and this `-sys` crate cannot proceed",
                "library",
                "OpenSSL",
                Some("libssl-dev"),
            ),
            (
                "Command 'pkg-config --exists mysqlclient' returned non-zero exit status 1.",
                "pkg-config module",
                "mysqlclient",
                Some("default-libmysqlclient-dev"),
            ),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: 'dot'",
                "program",
                "dot",
                Some("graphviz"),
            ),
            (
                "../meson.build:82:0: ERROR: Unknown compiler(s): [['gfortran'], ['flang-new']]",
                "program",
                "gfortran",
                Some("gfortran"),
            ),
            (
                "Run-time dependency openblas found: NO (tried pkgconfig and cmake)",
                "pkg-config module",
                "openblas",
                Some("libopenblas-dev"),
            ),
            (
                "/bin/sh: 1: swig: not found",
                "program",
                "swig",
                Some("swig"),
            ),
            (
                "The headers or library files could not be found for jpeg,",
                "library",
                "jpeg",
                Some("libjpeg62-turbo-dev"),
            ),
            (
                "ValueError: did not find netCDF version 4 headers",
                "library",
                "netCDF",
                Some("libnetcdf-dev"),
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
    fn each_name_has_one_provider() {
        let mut seen = std::collections::BTreeSet::new();
        for name in PROVIDERS.provides.iter().flat_map(|from| &from.names) {
            assert!(seen.insert(name), "{name} is there twice");
        }
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
