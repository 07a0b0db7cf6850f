//! Architectures, C libraries and the targets made of both.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A processor architecture, named as platform tags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[allow(missing_docs, reason = "the variants say it all")]
pub enum Arch {
    Aarch64,
    /// As `linux_armv6l`, with hard floats; there is no platform policy for it.
    Armv6l,
    Armv7l,
    I686,
    Loongarch64,
    Ppc64,
    Ppc64le,
    Riscv64,
    S390x,
    X86_64,
}

/// A C library with the `major.minor` that a wheel may count on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the fields are the version numbers")]
pub enum Libc {
    /// GNU libc: the `manylinux` tags ([PEP 600](https://peps.python.org/pep-0600/)).
    Glibc { major: u16, minor: u16 },
    /// musl: the `musllinux` tags ([PEP 656](https://peps.python.org/pep-0656/)).
    Musl { major: u16, minor: u16 },
}

/// What a wheel is built for: `manylinux_2_28_x86_64`, `musllinux_1_2_aarch64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// The oldest C library the wheel runs on.
    pub libc: Libc,
    /// The architecture it runs on.
    pub arch: Arch,
}

/// A text that names no architecture or target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Unknown architecture.
    #[error("`{0}` is not an architecture that wheels are built for")]
    Arch(String),
    /// Unknown target.
    #[error("`{0}` is not a target: write `manylinux_2_28_x86_64` or `musllinux_1_2_x86_64`")]
    Target(String),
}

const ARCHES: [(Arch, &str); 10] = [
    (Arch::Aarch64, "aarch64"),
    (Arch::Armv6l, "armv6l"),
    (Arch::Armv7l, "armv7l"),
    (Arch::I686, "i686"),
    (Arch::Loongarch64, "loongarch64"),
    (Arch::Ppc64, "ppc64"),
    (Arch::Ppc64le, "ppc64le"),
    (Arch::Riscv64, "riscv64"),
    (Arch::S390x, "s390x"),
    (Arch::X86_64, "x86_64"),
];

/// The names from before PEP 600, and the glibc minor version each stands for.
const LEGACY: [(&str, u16); 3] = [
    ("manylinux1", 5),
    ("manylinux2010", 12),
    ("manylinux2014", 17),
];

impl Arch {
    /// The name in platform tags.
    pub fn as_str(self) -> &'static str {
        ARCHES
            .iter()
            .find_map(|(arch, name)| (*arch == self).then_some(*name))
            .unwrap_or("unknown")
    }

    /// The name in container images' platforms, which is Go's, and behind a slash the variant if there is one:
    /// `amd64`, `arm/v7` ([OCI image index](https://github.com/opencontainers/image-spec/blob/main/image-index.md)).
    pub fn image_platform(self) -> &'static str {
        match self {
            Self::Aarch64 => "arm64",
            Self::Armv6l => "arm/v6",
            Self::Armv7l => "arm/v7",
            Self::I686 => "386",
            Self::Loongarch64 => "loong64",
            Self::X86_64 => "amd64",
            Self::Ppc64 | Self::Ppc64le | Self::Riscv64 | Self::S390x => self.as_str(),
        }
    }

    /// Every architecture.
    pub fn all() -> impl Iterator<Item = Self> {
        ARCHES.iter().map(|(arch, _)| *arch)
    }

    /// The architecture this program was compiled for, if wheels exist for it.
    pub fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "arm" => Some(Self::Armv7l),
            "x86" => Some(Self::I686),
            "powerpc64" if cfg!(target_endian = "little") => Some(Self::Ppc64le),
            name => name.parse().ok(),
        }
    }
}

impl FromStr for Arch {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        ARCHES
            .iter()
            .find_map(|(arch, name)| (*name == text).then_some(*arch))
            .ok_or_else(|| PlatformError::Arch(text.chars().take(40).collect()))
    }
}

impl Libc {
    /// Whether a wheel for `self` runs where `system` is the C library.
    pub fn runs_on(self, system: Self) -> bool {
        match (self, system) {
            (Self::Glibc { major, minor }, Self::Glibc { major: m, minor: n })
            | (Self::Musl { major, minor }, Self::Musl { major: m, minor: n }) => {
                major == m && minor <= n
            }
            _ => false,
        }
    }
}

impl Target {
    /// The tag without its architecture: `manylinux_2_28`, the name auditwheel gives the policy.
    pub fn policy_name(&self) -> String {
        match self.libc {
            Libc::Glibc { major, minor } => format!("manylinux_{major}_{minor}"),
            Libc::Musl { major, minor } => format!("musllinux_{major}_{minor}"),
        }
    }

    /// The tag from before PEP 600 that means the same, if there is one: `manylinux2014_x86_64`.
    pub fn legacy_alias(&self) -> Option<String> {
        let Libc::Glibc { major: 2, minor } = self.libc else {
            return None;
        };
        LEGACY
            .iter()
            .find_map(|(name, n)| (*n == minor).then(|| format!("{name}_{}", self.arch)))
    }
}

impl FromStr for Target {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parse = || {
            let (name, arch) = ARCHES.iter().find_map(|(arch, name)| {
                Some((text.strip_suffix(name)?.strip_suffix('_')?, *arch))
            })?;
            if let Some((_, minor)) = LEGACY.iter().find(|(legacy, _)| *legacy == name) {
                let libc = Libc::Glibc {
                    major: 2,
                    minor: *minor,
                };
                return Some(Self { libc, arch });
            }
            let number = |part: &str| {
                part.bytes()
                    .all(|byte| byte.is_ascii_digit())
                    .then(|| part.parse::<u16>().ok())
                    .flatten()
            };
            let (family, version) = name.split_once('_')?;
            let (major, minor) = version.split_once('_')?;
            let (major, minor) = (number(major)?, number(minor)?);
            let libc = match family {
                "manylinux" => Libc::Glibc { major, minor },
                "musllinux" => Libc::Musl { major, minor },
                _ => return None,
            };
            Some(Self { libc, arch })
        };
        parse().ok_or_else(|| PlatformError::Target(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc { major, minor } => write!(f, "glibc {major}.{minor}"),
            Self::Musl { major, minor } => write!(f, "musl {major}.{minor}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.policy_name(), self.arch)
    }
}

macro_rules! string_conversions {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = PlatformError;

            fn try_from(text: String) -> Result<Self, PlatformError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}
string_conversions!(Arch, Target);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_print_what_they_parse() {
        for text in [
            "manylinux_2_28_x86_64",
            "musllinux_1_2_aarch64",
            "manylinux_2_17_ppc64le",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        let legacy: Target = "manylinux2014_x86_64".parse().unwrap();
        assert_eq!(legacy.to_string(), "manylinux_2_17_x86_64");
        assert_eq!(
            legacy.legacy_alias().as_deref(),
            Some("manylinux2014_x86_64")
        );
        for bad in [
            "linux_x86_64",
            "manylinux_2_x86_64",
            "manylinux_2_28",
            "manylinux_2_+8_x86_64",
            "x86_64",
            "",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn older_runs_on_newer() {
        let [old, new, musl] = [
            "manylinux_2_28_x86_64",
            "manylinux_2_36_x86_64",
            "musllinux_1_2_x86_64",
        ]
        .map(|t| t.parse::<Target>().unwrap().libc);
        assert!(old.runs_on(new) && old.runs_on(old));
        assert!(!new.runs_on(old) && !musl.runs_on(new));
    }
}
