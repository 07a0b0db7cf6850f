//! Python's stable ABI ([PEP 384](https://peps.python.org/pep-0384/)): which symbols it has, and since when.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The table: see the README beside it.
const SYMBOLS: &str = include_str!("symbols.txt");

/// A feature release of CPython: `3.11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
}

impl Release {
    /// The release that an interpreter tag names: `cp38`, `cp311`. None for `py3`, `pp310` and the like.
    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        let digits = tag.strip_prefix("cp")?;
        let (major, minor) = digits.split_at_checked(1)?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for Release {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Release {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("no release of Python"))
    }
}

/// The release with which a symbol entered the stable ABI; none if it is no part of it.
pub(crate) fn added(symbol: &str) -> Option<Release> {
    static TABLE: LazyLock<HashMap<&str, Release>> = LazyLock::new(|| {
        let lines = SYMBOLS.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| {
                let (release, symbols) = line.split_once(' ')?;
                Some((Release::parse(release)?, symbols))
            })
            .flat_map(|(release, symbols)| symbols.split(' ').map(move |symbol| (symbol, release)))
            .collect()
    });
    TABLE.get(symbol).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        let release = |minor| Some(Release { major: 3, minor });
        assert_eq!(added("PyArg_Parse"), release(2));
        assert_eq!(added("PyType_GetSlot"), release(4));
        assert_eq!(added("PyObject_Vectorcall"), release(12));
        // Not stable, not on Linux, only for debugging.
        for other in [
            "PyUnicode_New",
            "PyExc_WindowsError",
            "_Py_RefTotal",
            "3.2",
            "",
        ] {
            assert_eq!(added(other), None, "{other}");
        }
        let names = SYMBOLS
            .lines()
            .skip(1)
            .flat_map(|line| line.split(' ').skip(1));
        assert!(names.clone().all(|name| added(name).is_some()));
        assert!(names.count() > 900);
    }

    #[test]
    fn releases_are_read_from_tags() {
        let release = |tag| Release::of_tag(tag).map(|release| release.to_string());
        assert_eq!(release("cp38").as_deref(), Some("3.8"));
        assert_eq!(release("cp311").as_deref(), Some("3.11"));
        for other in ["cp", "cp3", "py38", "pp310", "cp3x"] {
            assert_eq!(release(other), None, "{other}");
        }
    }
}
