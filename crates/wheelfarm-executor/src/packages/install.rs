//! Installing system packages: what goes into the container, and what its log says when it fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};
use wheelfarm_build::environment::{EnvironmentRecipe, PackageManager};

use crate::error::{Result, error, hinted, io};
use crate::input_file::{Content, InputFile};
use crate::network::HostNetwork;

/// What the container runs, below `/tmp`.
const SCRIPT: &str = include_str!("install.sh");
/// Where the script and its files lie; it deletes them before it ends.
const DIR: &str = ".wheelfarm";
/// How many of the log's last lines an error shows.
const LAST_LINES: usize = 15;
/// What package managers say of a package that they do not know: the text before its name, and after it.
const UNKNOWN: [(&str, &str); 7] = [
    ("E: Unable to locate package ", ""),
    ("E: Package '", "' has no installation candidate"),
    ("E: Couldn't find any package by ", ""),
    ("No match for argument: ", ""),
    ("No package ", " available."),
    ("Error: Unable to find a match: ", ""),
    ("", " (no such package):"),
];

/// What package managers say when a mirror cannot be reached or does not have what its lists name.
const UNREACHABLE: [&str; 8] = [
    "Temporary failure resolving",
    "Failed to fetch",
    "Could not resolve host",
    "Cannot download",
    "Curl error",
    "Failed to download metadata",
    "temporary error (try again later)",
    "network error (check Internet connection",
];

/// The command of the container.
pub(crate) fn command(recipe: &EnvironmentRecipe) -> Vec<String> {
    let manager = match recipe.manager {
        PackageManager::Apt => "apt",
        PackageManager::Dnf => "dnf",
        PackageManager::Apk => "apk",
    };
    let script = format!("/tmp/{DIR}/install.sh");
    let mut command = vec!["/bin/sh".to_owned(), script, manager.to_owned()];
    command.extend(recipe.packages.iter().cloned());
    command
}

/// What to put below `/tmp` before the container starts. Proxies and certificates come this way because what is
/// in the container's own environment would be committed into the image.
pub(crate) fn files(network: &HostNetwork) -> Result<Vec<InputFile>> {
    let mut files = vec![file("install.sh", SCRIPT.into())];
    let mut ca_file = None;
    if let Some(bundle) = &network.ca_bundle {
        let bytes = fs_err::read(bundle).map_err(io("read the certificates of this machine"))?;
        files.push(file("ca.pem", bytes.into()));
        ca_file = Some(format!("/tmp/{DIR}/ca.pem"));
    }
    let script = exports(&network.environment(ca_file.as_deref()));
    files.push(file("environment.sh", script.into()));
    Ok(files)
}

/// Refuses names that a package manager would take for something else: an option, a file, a URL.
pub(crate) fn check_names(recipe: &EnvironmentRecipe) -> Result<()> {
    for name in &recipe.packages {
        let plain = name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || ".+:_=~@^-".contains(char));
        if !plain || !name.starts_with(|char: char| char.is_ascii_alphanumeric()) {
            return Err(error(
                ExecutorErrorKind::Packages,
                format!("`{name}` is not the name of a system package"),
            ));
        }
    }
    Ok(())
}

/// The error of an installation that printed `log`.
pub(crate) fn failure(recipe: &EnvironmentRecipe, log: &str) -> ExecutorError {
    let image = &recipe.image;
    let unknown = unknown_packages(log);
    if !unknown.is_empty() {
        let (noun, verb) = if unknown.len() == 1 {
            ("package", "is")
        } else {
            ("packages", "are")
        };
        return hinted(
            ExecutorErrorKind::Packages,
            format!(
                "the system {noun} `{}` {verb} not known in {image}",
                unknown.join("`, `")
            ),
            "Look at the spelling for that distribution: development files are in `...-dev` on Debian and Alpine, in `...-devel` on AlmaLinux.",
        );
    }
    let kind = if UNREACHABLE.iter().any(|text| log.contains(text)) {
        ExecutorErrorKind::MirrorUnavailable
    } else {
        ExecutorErrorKind::Packages
    };
    let lines: Vec<_> = log.lines().collect();
    let last = lines.len().saturating_sub(LAST_LINES);
    let last = lines.get(last..).unwrap_or_default().join("\n");
    hinted(
        kind,
        format!(
            "the system packages {} could not be installed in {image}. The package manager said last:\n{last}",
            recipe.packages.join(", ")
        ),
        "Package mirrors must be in reach from containers: look at proxies and certificates.",
    )
}

fn unknown_packages(log: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in log.lines() {
        for (before, after) in UNKNOWN {
            let rest = line.trim_start().strip_prefix(before);
            let names = rest.and_then(|rest| rest.strip_suffix(after));
            for name in names.into_iter().flat_map(str::split_whitespace) {
                let name = name.trim_matches(['\'', '"']);
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
    }
    found
}

fn file(name: &str, bytes: Bytes) -> InputFile {
    InputFile {
        path: Path::new(DIR).join(name).to_string_lossy().into_owned(),
        content: Content::Given(bytes),
        executable: false,
    }
}

fn exports(environment: &BTreeMap<String, String>) -> String {
    let mut script = String::new();
    for (name, value) in environment {
        let plain = name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '_');
        if plain {
            writeln!(script, "export {name}='{}'", value.replace('\'', r"'\''")).ok();
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use wheelfarm_types::Digest;

    use super::*;

    fn recipe(packages: &[&str]) -> EnvironmentRecipe {
        EnvironmentRecipe {
            image: "debian-12".to_owned(),
            image_content: Digest::of(""),
            manager: PackageManager::Apt,
            packages: packages.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn unknown_packages_are_named() {
        for log in [
            "Reading package lists...\nE: Unable to locate package libfoo-dev\n",
            "E: Package 'libfoo-dev' has no installation candidate\n",
            "No match for argument: libfoo-dev\nError: Unable to find a match: libfoo-dev\n",
            "No package libfoo-dev available.\n",
            "ERROR: unable to select packages:\n  libfoo-dev (no such package):\n    required by: world[libfoo-dev]\n",
        ] {
            let error = failure(&recipe(&["libfoo-dev"]), log);
            assert_eq!(
                error.message,
                "the system package `libfoo-dev` is not known in debian-12"
            );
        }
    }

    #[test]
    fn mirrors_that_are_away_are_told_from_packages_that_break() {
        let kind = |log| failure(&recipe(&["x"]), log).kind;
        for log in [
            "Err:1 http://mirror/debian x\n  Temporary failure resolving 'mirror'\n",
            "E: Failed to fetch http://mirror/x.deb  404  Not Found\n",
            "Error: Failed to download metadata for repo 'appstream'\n",
            "WARNING: opening http://mirror/main: temporary error (try again later)\n",
        ] {
            assert_eq!(kind(log), ExecutorErrorKind::MirrorUnavailable, "{log}");
        }
        let log = "dpkg: error processing package x (--configure)\n";
        assert_eq!(kind(log), ExecutorErrorKind::Packages);
    }

    #[test]
    fn other_failures_show_the_end_of_the_log() {
        let error = failure(&recipe(&["x"]), "one\nE: mirror is away\n");
        assert_eq!(error.kind, ExecutorErrorKind::Packages);
        assert!(error.message.ends_with("one\nE: mirror is away"), "{error}");
    }

    #[test]
    fn options_files_and_commands_are_no_package_names() {
        for good in [
            "libpq-dev",
            "g++",
            "libc6:i386",
            "zlib1g-dev=1:1.2.13",
            "python3.11",
        ] {
            assert!(check_names(&recipe(&[good])).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-o",
            "./x.deb",
            "/x",
            "a b",
            "a;b",
            "a\nb",
            "https://x",
            "*",
        ] {
            assert!(check_names(&recipe(&[bad])).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_quoted() {
        let environment = BTreeMap::from([
            ("A".to_owned(), "it's $HOME".to_owned()),
            ("B; rm".to_owned(), String::new()),
        ]);
        assert_eq!(exports(&environment), "export A='it'\\''s $HOME'\n");
    }
}
