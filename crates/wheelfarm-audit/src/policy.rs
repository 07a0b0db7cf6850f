//! Platform policies: what each tag lets a wheel expect of a system.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use wheelfarm_types::{Arch, Libc, Target};

use crate::AuditError;

/// A C library without its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LibcFamily {
    /// GNU libc: manylinux.
    Glibc,
    /// musl: musllinux.
    Musl,
}

/// One policy: a platform tag without its architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `manylinux_2_28`.
    pub name: String,
    /// Names from before PEP 600, without architecture: `manylinux2014`.
    pub aliases: Vec<String>,
    /// The C library with its version.
    pub libc: Libc,
    symbol_versions: SymbolVersions<'static>,
    whitelist: BTreeSet<&'static str>,
    blacklist: BTreeMap<String, BTreeSet<String>>,
}

/// Allowed versions by architecture and by what stands before the number: `GLIBC`. They are thousands, so that they
/// are not copied from the text they were read from.
type SymbolVersions<'a> = BTreeMap<Arch, BTreeMap<&'a str, BTreeSet<&'a str>>>;

/// All policies.
#[derive(Debug)]
pub struct Policies {
    /// The ones that run on most systems first.
    policies: Vec<Policy>,
    blacklisted: HashSet<String>,
}

/// A policy as auditwheel's files have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    name: String,
    aliases: Vec<String>,
    priority: u32,
    #[serde(borrow)]
    symbol_versions: SymbolVersions<'a>,
    #[serde(borrow)]
    lib_whitelist: BTreeSet<&'a str>,
    blacklist: BTreeMap<String, BTreeSet<String>>,
}

impl Policies {
    /// The policies that come with this crate, read at the first call.
    pub fn builtin() -> Result<&'static Self, AuditError> {
        static BUILTIN: LazyLock<Result<Policies, (String, String)>> = LazyLock::new(|| {
            Policies::parse(&[
                include_str!("policies/manylinux-policy.json"),
                include_str!("policies/musllinux-policy.json"),
            ])
        });
        BUILTIN
            .as_ref()
            .map_err(|(policy, reason)| AuditError::Policy {
                policy: policy.clone(),
                reason: reason.clone(),
            })
    }

    /// The policies for `family` on `arch`, the one that runs on most systems first.
    pub fn of(&self, family: LibcFamily, arch: Arch) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(move |policy| {
            policy.family() == family && policy.symbol_versions.contains_key(&arch)
        })
    }

    /// Whether some policy blacklists a symbol.
    pub(crate) fn watches(&self, symbol: &str) -> bool {
        self.blacklisted.contains(symbol)
    }

    /// Parses files; the error is the policy and what is wrong with it.
    fn parse(files: &[&'static str]) -> Result<Self, (String, String)> {
        let mut policies = Vec::new();
        for file in files {
            let mut raw: Vec<Raw<'static>> = serde_json::from_str(file)
                .map_err(|error| ("all".to_owned(), error.to_string()))?;
            // `linux` stands for no policy at all.
            raw.retain(|policy| policy.name != "linux");
            raw.sort_by_key(|policy| std::cmp::Reverse(policy.priority));
            // The files come with the program, and its tests have checked them.
            for pair in raw.windows(2).filter(|_| cfg!(debug_assertions)) {
                if let [older, newer] = pair {
                    check_order(older, newer).map_err(|reason| (newer.name.clone(), reason))?;
                }
            }
            for policy in raw {
                policies.push(Policy::new(policy)?);
            }
        }
        let blacklisted = policies
            .iter()
            .flat_map(|policy| policy.blacklist.values().flatten().cloned())
            .collect();
        Ok(Self {
            policies,
            blacklisted,
        })
    }
}

/// PEP 600: what runs where an older policy holds runs where a newer one does.
fn check_order(older: &Raw<'_>, newer: &Raw<'_>) -> Result<(), String> {
    if let Some(library) = older.lib_whitelist.difference(&newer.lib_whitelist).next() {
        return Err(format!(
            "it does not allow `{library}`, which `{}` does",
            older.name
        ));
    }
    for (arch, sets) in &older.symbol_versions {
        let Some(newer_sets) = newer.symbol_versions.get(arch) else {
            // ppc64 was given up after manylinux_2_17.
            continue;
        };
        for (prefix, versions) in sets {
            let allowed = newer_sets.get(prefix);
            let lost = versions
                .iter()
                .find(|version| !allowed.is_some_and(|allowed| allowed.contains(*version)));
            if let Some(version) = lost {
                return Err(format!(
                    "it does not allow {prefix}_{version} on {arch}, which `{}` does",
                    older.name
                ));
            }
        }
    }
    Ok(())
}

impl Policy {
    fn new(raw: Raw<'static>) -> Result<Self, (String, String)> {
        // Any architecture will do: only the C library is taken.
        let target: Target = format!("{}_{}", raw.name, Arch::X86_64).parse().map_err(
            |error: wheelfarm_types::PlatformError| (raw.name.clone(), error.to_string()),
        )?;
        Ok(Self {
            name: raw.name,
            aliases: raw.aliases,
            libc: target.libc,
            symbol_versions: raw.symbol_versions,
            whitelist: raw.lib_whitelist,
            blacklist: raw.blacklist,
        })
    }

    /// The C library without its version.
    pub fn family(&self) -> LibcFamily {
        LibcFamily::of(self.libc)
    }

    /// The policy's tag on `arch`.
    pub fn target(&self, arch: Arch) -> Target {
        Target {
            libc: self.libc,
            arch,
        }
    }

    /// Whether every system of this policy has a library of this name.
    pub fn allows_library(&self, soname: &str, arch: Arch) -> bool {
        match self.family() {
            LibcFamily::Glibc => self.whitelist.contains(soname),
            LibcFamily::Musl => {
                soname == musl_soname(arch)
                    || is_musl_itself(soname)
                    || self.whitelist.contains(soname)
            }
        }
    }

    /// Whether it allows the libraries that `other` does, and no others.
    pub(crate) fn allows_libraries_of(&self, other: &Self) -> bool {
        self.family() == other.family() && self.whitelist == other.whitelist
    }

    /// Whether every system of this policy has a symbol version; versions of libraries that the policy says
    /// nothing about (`OPENSSL_3.0.0`) are none of its business.
    pub fn allows_version(&self, version: &str, arch: Arch) -> bool {
        let Some((prefix, number)) = version.split_once('_') else {
            return true;
        };
        self.symbol_versions
            .get(&arch)
            .and_then(|sets| sets.get(prefix))
            .is_none_or(|versions| versions.contains(number))
    }

    /// Symbols of a library that must not be used; `*` stands for all.
    pub fn blacklist(&self, soname: &str) -> Option<&BTreeSet<String>> {
        self.blacklist.get(soname)
    }
}

/// The soname of musl's libc (and loader) per architecture, in musl's own spelling.
pub(crate) fn musl_soname(arch: Arch) -> &'static str {
    match arch {
        Arch::Aarch64 => "libc.musl-aarch64.so.1",
        Arch::Armv6l => "libc.musl-armhf.so.1",
        Arch::Armv7l => "libc.musl-armv7.so.1",
        Arch::I686 => "libc.musl-x86.so.1",
        Arch::Loongarch64 => "libc.musl-loongarch64.so.1",
        Arch::Ppc64 => "libc.musl-ppc64.so.1",
        Arch::Ppc64le => "libc.musl-ppc64le.so.1",
        Arch::Riscv64 => "libc.musl-riscv64.so.1",
        Arch::S390x => "libc.musl-s390x.so.1",
        Arch::X86_64 => "libc.musl-x86_64.so.1",
    }
}

/// Whether musl's loader takes a needed name for musl itself and searches for no file: what begins with the name
/// of a library that other systems split off their C library (`reserved` in `load_library` of `ldso/dynlink.c`).
/// Rust and Zig link to `libc.so`, for one. musl's soname for another architecture is left out: that is a mistake.
fn is_musl_itself(soname: &str) -> bool {
    const RESERVED: [&str; 7] = ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];
    soname.strip_prefix("lib").is_some_and(|name| {
        RESERVED.iter().any(|reserved| name.starts_with(reserved)) && !name.starts_with("c.musl-")
    })
}

impl LibcFamily {
    /// The family of a C library.
    pub fn of(libc: Libc) -> Self {
        match libc {
            Libc::Glibc { .. } => Self::Glibc,
            Libc::Musl { .. } => Self::Musl,
        }
    }
}

impl fmt::Display for LibcFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static Policy {
        let policies = Policies::builtin().unwrap();
        policies
            .policies
            .iter()
            .find(|policy| policy.name == name)
            .unwrap()
    }

    #[test]
    fn the_builtin_policies_are_sound() {
        let policies = Policies::builtin().unwrap();
        let names: Vec<_> = policies
            .of(LibcFamily::Glibc, Arch::X86_64)
            .map(|policy| policy.target(Arch::X86_64).to_string())
            .collect();
        assert_eq!(
            names.first().map(String::as_str),
            Some("manylinux_2_5_x86_64")
        );
        assert_eq!(names.len(), 16);
        assert_eq!(policies.of(LibcFamily::Glibc, Arch::Loongarch64).count(), 6);
        assert_eq!(policies.of(LibcFamily::Musl, Arch::X86_64).count(), 2);
        assert!(policies.watches("_dist_code") && !policies.watches("malloc"));
    }

    #[test]
    fn versions_and_libraries_are_judged() {
        let old = named("manylinux_2_17");
        assert!(old.allows_version("GLIBC_2.17", Arch::X86_64));
        assert!(!old.allows_version("GLIBC_2.18", Arch::X86_64));
        assert!(!old.allows_version("GLIBC_PRIVATE", Arch::X86_64));
        assert!(old.allows_version("OPENSSL_3.0.0", Arch::X86_64));
        // aarch64 begins with glibc 2.17.
        assert!(!old.allows_version("GLIBC_2.2.5", Arch::Aarch64));
        assert!(!named("manylinux_2_35").allows_version("GLIBC_ABI_DT_RELR", Arch::X86_64));
        assert!(named("manylinux_2_36").allows_version("GLIBC_ABI_DT_RELR", Arch::X86_64));
        assert!(old.allows_library("libexpat.so.1", Arch::X86_64));
        assert!(!named("manylinux_2_5").allows_library("libexpat.so.1", Arch::X86_64));
        let musl = named("musllinux_1_2");
        assert!(musl.allows_library("libc.musl-x86_64.so.1", Arch::X86_64));
        assert!(!musl.allows_library("libc.musl-x86_64.so.1", Arch::Aarch64));
        // musl's loader never searches for these.
        for own in ["libc.so", "libpthread.so.0", "libdl.so.2", "libm.so"] {
            assert!(musl.allows_library(own, Arch::X86_64), "{own}");
        }
        for other in ["libcc.so", "libmvec.so.1", "libc", "m.so", "libresolv.so"] {
            assert!(!musl.allows_library(other, Arch::X86_64), "{other}");
        }
    }

    #[test]
    fn contradictions_are_found() {
        let policy = |name: &str, priority: u32, versions: &str, library: &str| {
            format!(
                r#"{{"name":"{name}","aliases":[],"priority":{priority},"blacklist":{{}},
                "symbol_versions":{{"x86_64":{{"GLIBC":[{versions}]}}}},"lib_whitelist":["{library}"]}}"#
            )
        };
        let old = policy("manylinux_2_5", 9, r#""2.5""#, "a");
        for (newer, works) in [
            (policy("manylinux_2_6", 8, r#""2.5","2.6""#, "a"), true),
            (policy("manylinux_2_6", 8, r#""2.6""#, "a"), false),
            (policy("manylinux_2_6", 8, r#""2.5""#, "b"), false),
            (policy("nonsense", 8, r#""2.5""#, "a"), false),
        ] {
            let file = format!("[{old},{newer}]").leak();
            assert_eq!(Policies::parse(&[file]).is_ok(), works, "{newer}");
        }
    }
}
