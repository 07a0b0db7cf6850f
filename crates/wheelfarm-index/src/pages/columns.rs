//! In which columns of a project's matrix a wheel stands: the platforms and Pythons that it is for.

use std::collections::BTreeMap;

use wheelfarm_types::{Libc, Target, WheelFilename};

/// The platform of a column, in the order of columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Platform {
    Glibc(String),
    Musl(String),
    Other(String),
    Any,
    Source,
}

impl Platform {
    pub(super) fn label(&self) -> String {
        match self {
            Self::Glibc(arch) => format!("glibc {arch}"),
            Self::Musl(arch) => format!("musl {arch}"),
            Self::Other(name) => name.clone(),
            Self::Any => "any".to_owned(),
            Self::Source => "source".to_owned(),
        }
    }
}

/// The Python of a column, in the order of columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Python {
    Generic(String),
    Release { major: u32, minor: u32, kind: Kind },
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// From this release on.
    Stable,
    Plain,
    FreeThreaded,
}

impl Python {
    fn of(python: &str, abi: &str) -> Self {
        let release = python.strip_prefix("cp").and_then(|digits| {
            let (major, minor) = digits.split_at_checked(1)?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        match release {
            Some((major, minor)) => Self::Release {
                major,
                minor,
                kind: match abi {
                    "abi3" => Kind::Stable,
                    abi if abi.ends_with('t') => Kind::FreeThreaded,
                    _ => Kind::Plain,
                },
            },
            None if python.starts_with("py") => Self::Generic(python.to_owned()),
            None => Self::Other(python.to_owned()),
        }
    }

    pub(super) fn label(&self) -> String {
        match self {
            Self::Release { major, minor, kind } => match kind {
                Kind::Stable => format!("{major}.{minor}+"),
                Kind::Plain => format!("{major}.{minor}"),
                Kind::FreeThreaded => format!("{major}.{minor}t"),
            },
            Self::Generic(text) | Self::Other(text) => text.clone(),
        }
    }
}

/// A column.
pub(super) type Key = (Platform, Python);

/// Where a wheel stands, and what its cell says.
pub(super) fn places(filename: &WheelFilename) -> Vec<(Key, String)> {
    let mut platforms: BTreeMap<Platform, String> = BTreeMap::new();
    for tag in &filename.platforms {
        let (platform, text) = platform(tag);
        // Of several tags for the same platform, the oldest system is what it runs on.
        let known = platforms.entry(platform).or_insert_with(|| text.clone());
        if older(&text, known) {
            *known = text;
        }
    }
    let abi = filename.abis.first().map_or("none", String::as_str);
    let mut pythons: Vec<Python> = filename
        .pythons
        .iter()
        .map(|python| Python::of(python, abi))
        .collect();
    // `py2.py3` is one column.
    if pythons.len() > 1
        && pythons
            .iter()
            .all(|python| matches!(python, Python::Generic(_)))
    {
        pythons = vec![Python::Generic(filename.pythons.join("."))];
    }
    let mut places = Vec::new();
    for (platform, text) in platforms {
        for python in &pythons {
            places.push(((platform.clone(), python.clone()), text.clone()));
        }
    }
    places
}

fn platform(tag: &str) -> (Platform, String) {
    if tag == "any" {
        return (Platform::Any, "any".to_owned());
    }
    match tag.parse::<Target>() {
        Ok(Target {
            libc: Libc::Glibc { major, minor },
            arch,
        }) => (
            Platform::Glibc(arch.to_string()),
            format!("{major}.{minor}"),
        ),
        Ok(Target {
            libc: Libc::Musl { major, minor },
            arch,
        }) => (Platform::Musl(arch.to_string()), format!("{major}.{minor}")),
        Err(_) => (
            Platform::Other(tag.chars().take(40).collect()),
            "yes".to_owned(),
        ),
    }
}

fn older(a: &str, b: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        text.split('.')
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    numbers(a) < numbers(b)
}

/// `cp311-manylinux_2_36_x86_64`.
pub(super) fn key_of_cell(cell: &str) -> Option<Key> {
    let (python, target) = cell.split_once('-')?;
    let (plain, abi) = match python.strip_suffix('t') {
        Some(plain) => (plain, python),
        None => (python, "none"),
    };
    Some((platform(target).0, Python::of(plain, abi)))
}
