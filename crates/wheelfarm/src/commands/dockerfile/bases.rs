//! The images that final stages begin with: data (`images/bases.toml`).

use serde::Deserialize;
use wheelfarm_types::{Libc, PythonVersion, Target};

use crate::cli::dockerfile::BaseKind;
use crate::exit::Failure;

const DATA: &str = include_str!("../../../../../images/bases.toml");

/// An image that a final stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// Its name in a registry.
    pub(super) image: String,
    /// The image that has pip for it, if it has none itself.
    pub(super) build: Option<String>,
    /// Where its Python is.
    pub(super) interpreter: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    base: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: BaseKind,
    image: String,
    runs: String,
    interpreter: String,
    #[serde(default)]
    pythons: Vec<PythonVersion>,
    build: Option<String>,
}

impl Entry {
    /// The C library that it has.
    fn libc(&self, target: Target) -> Libc {
        let target: Result<Target, _> = format!("{}_{}", self.runs, target.arch).parse();
        target.expect("images/bases.toml is checked by a test").libc
    }

    fn has(&self, python: PythonVersion) -> bool {
        // The official images have no free-threaded Python.
        !python.free_threaded && (self.pythons.is_empty() || self.pythons.contains(&python))
    }
}

/// The base of `kind` for wheels for `python` and `target`.
///
/// # Panics
/// Never: a test parses the data.
pub(super) fn base(kind: BaseKind, python: PythonVersion, target: Target) -> Result<Base, Failure> {
    let data: Data = toml::from_str(DATA).expect("images/bases.toml is checked by a test");
    let of_kind: Vec<_> = data
        .base
        .iter()
        .filter(|entry| entry.kind == kind)
        .collect();
    let runs = |entry: &&&Entry| target.libc.runs_on(entry.libc(target));
    let found = of_kind.iter().filter(runs).find(|entry| entry.has(python));
    if let Some(entry) = found {
        let filled = |text: &str| text.replace("{python}", &python.release());
        return Ok(Base {
            image: filled(&entry.image),
            build: entry.build.as_deref().map(filled),
            interpreter: filled(&entry.interpreter),
        });
    }
    let kind = kind.as_str();
    if !of_kind.iter().any(|entry| runs(&entry)) {
        let message = format!("no {kind} image that is known runs wheels for {target}");
        let hint = "`--base slim` and `distroless` have glibc, `--base alpine` has musl; `--target` says what wheels are for";
        return Err(Failure::usage(message).with_hint(Some(hint.to_owned())));
    }
    let pythons = of_kind.iter().flat_map(|entry| &entry.pythons);
    let pythons: Vec<_> = pythons.map(ToString::to_string).collect();
    let hint = (!pythons.is_empty()).then(|| format!("they have {}", pythons.join(" and ")));
    let message = format!("no {kind} image that is known has Python {python} for {target}");
    Err(Failure::usage(message).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(kind: BaseKind, python: &str, target: &str) -> Result<String, String> {
        base(kind, python.parse().unwrap(), target.parse().unwrap())
            .map(|base| base.image)
            .map_err(|failure| failure.message)
    }

    #[test]
    fn the_oldest_base_that_runs_the_wheels_is_taken() {
        let slim = |target| image(BaseKind::Slim, "3.13", target).unwrap();
        assert_eq!(slim("manylinux_2_28_x86_64"), "python:3.13-slim-bookworm");
        assert_eq!(slim("manylinux_2_41_aarch64"), "python:3.13-slim-trixie");
        let alpine = image(BaseKind::Alpine, "3.9", "musllinux_1_2_x86_64").unwrap();
        assert_eq!(alpine, "python:3.9-alpine");
    }

    #[test]
    fn what_no_base_runs_is_an_error() {
        for (kind, python, target, said) in [
            (
                BaseKind::Slim,
                "3.11",
                "musllinux_1_2_x86_64",
                "runs wheels for musllinux",
            ),
            (
                BaseKind::Alpine,
                "3.11",
                "manylinux_2_28_x86_64",
                "runs wheels for manylinux",
            ),
            (
                BaseKind::Distroless,
                "3.12",
                "manylinux_2_28_x86_64",
                "has Python 3.12",
            ),
            (
                BaseKind::Distroless,
                "3.11",
                "manylinux_2_41_x86_64",
                "has Python 3.11",
            ),
            (
                BaseKind::Slim,
                "3.13t",
                "manylinux_2_28_x86_64",
                "has Python 3.13t",
            ),
            (
                BaseKind::Slim,
                "3.13",
                "manylinux_2_99_x86_64",
                "runs wheels for manylinux_2_99",
            ),
        ] {
            let message = image(kind, python, target).unwrap_err();
            assert!(message.contains(said), "{message}");
        }
    }
}
