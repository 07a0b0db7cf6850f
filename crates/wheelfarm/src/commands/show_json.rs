//! `wheelfarm show --json`: the fields of `auditwheel show --json`, schema version 1, under their names and with
//! their meaning, and all of ours under `wheelfarm`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wheelfarm_audit::{AuditReport, Finding, Obstacle, Verdict};

use super::why::Why;

/// What auditwheel says of a wheel without ELF objects.
pub(crate) const NO_ELF: &str = "This does not look like a platform wheel, no ELF executable or shared library file (including compiled Python C extension) found in the wheel archive";

/// The three shapes of the schema.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Shown<'a> {
    Platform(Box<Platform<'a>>),
    Pure {
        version: u8,
        wheel: &'a str,
        pure: bool,
    },
    Error {
        version: u8,
        wheel: &'a str,
        error: String,
    },
}

#[derive(Debug, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "the schema has them")]
pub(crate) struct Platform<'a> {
    version: u8,
    wheel: &'a str,
    pure: bool,
    overall_tag: String,
    sym_tag: String,
    pyfpe: bool,
    ucs2: bool,
    unsupported_isa: bool,
    versioned_symbols: BTreeMap<&'a str, BTreeSet<&'a str>>,
    external_libs: BTreeMap<&'a str, Option<&'a str>>,
    policy_upgrades: BTreeMap<String, Upgrade<'a>>,
    wheelfarm: Ours<'a>,
}

/// What has to go for a better tag.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Upgrade<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    libs_to_eliminate: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    blacklisted_symbols: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

#[derive(Debug, Serialize)]
struct Ours<'a> {
    #[serde(flatten)]
    report: &'a AuditReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
}

impl<'a> Shown<'a> {
    /// A wheel without anything tied to a platform, where that is right.
    pub(crate) fn pure(wheel: &'a str) -> Self {
        Self::Pure {
            version: 1,
            wheel,
            pure: true,
        }
    }

    /// A wheel that could not be judged.
    pub(crate) fn error(wheel: &'a str, error: String) -> Self {
        Self::Error {
            version: 1,
            wheel,
            error,
        }
    }

    /// A judged wheel: `report` has verdicts.
    pub(crate) fn platform(wheel: &'a str, report: &'a AuditReport, why: Option<Why>) -> Self {
        let symbols = report
            .verdicts
            .iter()
            .find(|verdict| !verdict.obstacles.iter().any(is_too_recent));
        Self::Platform(Box::new(Platform {
            version: 1,
            wheel,
            pure: false,
            overall_tag: tag(report, report.earned_without_grafting),
            sym_tag: tag(report, symbols.map(|verdict| verdict.target)),
            pyfpe: everywhere(report, |obstacle| {
                matches!(obstacle, Obstacle::PyFpe { .. })
            }),
            ucs2: report.narrow_unicode,
            unsupported_isa: everywhere(report, |obstacle| {
                matches!(obstacle, Obstacle::Isa { .. })
            }),
            versioned_symbols: versioned_symbols(report, symbols.or(report.verdicts.last())),
            external_libs: external_libs(report),
            policy_upgrades: upgrades(report),
            wheelfarm: Ours { report, why },
        }))
    }
}

/// The tag; `linux_*` if there is none.
pub(crate) fn tag(report: &AuditReport, target: Option<wheelfarm_types::Target>) -> String {
    match (target, report.arch) {
        (Some(target), _) => target.to_string(),
        (None, Some(arch)) => format!("linux_{arch}"),
        (None, None) => "linux".to_owned(),
    }
}

/// Why there is no verdict, in auditwheel's words.
pub(crate) fn not_judged(report: &AuditReport) -> String {
    let others: Vec<&str> = report
        .findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::OtherArch { path, .. } => Some(path.rsplit('/').next().unwrap_or(path)),
            _ => None,
        })
        .collect();
    match report.arch {
        Some(arch) if !others.is_empty() => format!(
            "Invalid binary wheel: no ELF executable or shared library file (including compiled Python C extension) with a '{arch}' architecture found. The following ELF files were found:\n\t{}\n",
            others.join("\n\t")
        ),
        _ => NO_ELF.to_owned(),
    }
}

fn is_too_recent(obstacle: &Obstacle) -> bool {
    matches!(obstacle, Obstacle::TooRecent { .. })
}

/// Whether such an obstacle keeps the wheel from every policy.
fn everywhere(report: &AuditReport, is: impl Fn(&Obstacle) -> bool) -> bool {
    let mut verdicts = report.verdicts.iter();
    !report.verdicts.is_empty() && verdicts.all(|verdict| verdict.obstacles.iter().any(&is))
}

/// What the strictest policy does not allow. Where the architecture has none, all that is from outside.
fn external_libs(report: &AuditReport) -> BTreeMap<&str, Option<&str>> {
    match report.verdicts.first() {
        Some(strictest) => strictest
            .grafts
            .iter()
            .map(|soname| (soname.as_str(), path_of(report, soname)))
            .collect(),
        None => report
            .external
            .iter()
            .map(|library| (library.soname.as_str(), library.path.as_deref()))
            .collect(),
    }
}

fn path_of<'a>(report: &'a AuditReport, soname: &str) -> Option<&'a str> {
    let library = report.external.iter().find(|l| l.soname == soname)?;
    library.path.as_deref()
}

/// Versions that the wheel's objects need, and those that the grafts for `verdict` need.
fn versioned_symbols<'a>(
    report: &'a AuditReport,
    verdict: Option<&'a Verdict>,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let grafts = verdict.map_or(&[][..], |verdict| &verdict.grafts);
    let objects = report.objects.iter().filter(|object| object.considered);
    let external = report.external.iter();
    let external = external.filter(|library| grafts.contains(&library.soname));
    let mut symbols: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let needs = objects
        .map(|object| &object.version_needs)
        .chain(external.map(|library| &library.version_needs));
    for (library, versions) in needs.flatten() {
        // The loader's own versions go with those of the C library.
        if !library.contains("ld-linux") && !matches!(library.as_str(), "ld64.so.1" | "ld64.so.2") {
            let all = symbols.entry(library).or_default();
            all.extend(versions.iter().map(String::as_str));
        }
    }
    symbols
}

/// For every policy better than what the wheel has as it is, what has to be eliminated.
fn upgrades(report: &AuditReport) -> BTreeMap<String, Upgrade<'_>> {
    let better = report
        .verdicts
        .iter()
        .take_while(|verdict| Some(verdict.target) != report.earned_without_grafting);
    better
        .map(|verdict| {
            let mut upgrade = Upgrade {
                libs_to_eliminate: &verdict.grafts,
                ..Upgrade::default()
            };
            for obstacle in &verdict.obstacles {
                // What libraries of the root use is not in the wheel yet.
                if let Obstacle::Blacklisted {
                    file,
                    library,
                    symbols,
                } = obstacle
                    && !file.starts_with('/')
                {
                    let all = upgrade.blacklisted_symbols.entry(library).or_default();
                    all.extend(symbols.iter().map(String::as_str));
                }
            }
            (verdict.target.to_string(), upgrade)
        })
        .filter(|(_, upgrade)| *upgrade != Upgrade::default())
        .collect()
}

#[cfg(test)]
#[path = "show_json_tests.rs"]
mod tests;
