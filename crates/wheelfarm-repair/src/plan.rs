//! The plan of a repair.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wheelfarm_audit::{
    AuditOptions, AuditReport, Finding, LibcFamily, LibraryRoot, Package, Policies, Verdict,
};
use wheelfarm_types::{Arch, Digest, Target, WheelFilename};
use wheelfarm_wheel::{Level, Wheel};

use crate::grafting::Grafting;
use crate::{RepairError, RepairOptions, tags};

/// What has to happen to a wheel. Depends on the report, the wheel, the grafted libraries and the options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairPlan {
    /// The wheel it is for.
    pub source: WheelFilename,
    /// The repaired wheel's name.
    pub filename: WheelFilename,
    /// The policy whose libraries were taken to be on the system: the best tag that is written.
    pub policy: Target,
    /// Platform tags, in the order of the file name.
    pub platforms: Vec<String>,
    /// Whether tags are written at all.
    pub update_tags: bool,
    /// Libraries to graft, by source path.
    pub grafts: Vec<Graft>,
    /// Objects of the wheel to patch, by path.
    pub edits: Vec<MemberEdit>,
    /// Objects that were to be stripped and cannot be, with the reason: they keep what they have.
    #[serde(default)]
    pub unstripped: BTreeMap<String, String>,
    /// How hard all members are compressed, from 0 to 9; none: the default for those that change, and the others keep
    /// their bytes.
    #[serde(default)]
    pub level: Option<u8>,
    /// The options of the audit: exclusions hold for the repaired wheel too.
    pub audit: AuditOptions,
}

/// A library that goes into the wheel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graft {
    /// Its file in the root, links resolved.
    pub source: String,
    /// The digest of that file.
    pub digest: Digest,
    /// The names it is needed under.
    pub sonames: BTreeSet<String>,
    /// Its new file name and soname.
    pub name: String,
    /// Where it goes in the archive; several if objects in different installation directories need it.
    pub members: BTreeSet<String>,
    /// The distribution package it comes from.
    pub owner: Option<Package>,
    /// The grafted libraries that it needs: old name to new, which is the same for included ones.
    pub renames: BTreeMap<String, String>,
    /// Needed names to drop.
    pub remove_needed: BTreeSet<String>,
    /// Its new RPATH; none: it gets none, and loses the one it has.
    pub rpath: Option<String>,
    /// Whether it is stripped.
    #[serde(default)]
    pub strip: bool,
}

/// A change of an ELF object of the wheel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEdit {
    /// Its path in the archive.
    pub member: String,
    /// Where it moves, leaving a script that starts it: programs in `.data/scripts` have no fixed way to
    /// their libraries.
    pub moved_to: Option<String>,
    /// Needed names to replace: old to new.
    pub renames: BTreeMap<String, String>,
    /// Needed names to drop.
    pub remove_needed: BTreeSet<String>,
    /// Needed names to add: libraries that are loaded by name, where the loader does not search for them.
    #[serde(default)]
    pub add_needed: Vec<String>,
    /// Its new RPATH; none: it keeps what it has.
    pub rpath: Option<String>,
    /// Whether it is stripped.
    #[serde(default)]
    pub strip: bool,
}

impl RepairPlan {
    /// [`RepairPlan::level`], if it is one.
    pub(crate) fn level(&self) -> Option<Level> {
        self.level.and_then(Level::new)
    }

    /// Whether the plan edits ELF objects, beyond stripping them.
    pub fn edits_elf(&self) -> bool {
        // A grafted library always gets a name and a path of its own.
        let edits = |edit: &MemberEdit| MemberEdit {
            strip: false,
            ..edit.clone()
        };
        !self.grafts.is_empty()
            || self
                .edits
                .iter()
                .any(|edit| edits(edit) != MemberEdit::nothing(&edit.member))
    }
}

impl MemberEdit {
    /// An edit that changes nothing of `member`.
    pub(crate) fn nothing(member: &str) -> Self {
        Self {
            member: member.to_owned(),
            moved_to: None,
            renames: BTreeMap::new(),
            remove_needed: BTreeSet::new(),
            add_needed: Vec::new(),
            rpath: None,
            strip: false,
        }
    }
}

/// Plans a repair.
///
/// `report` is the audit of `wheel` against `root` with `options.audit`. A wheel that needs nothing gets a plan
/// without grafts, which still gives it its tags and canonical bytes.
pub fn plan(
    wheel: &Wheel,
    report: &AuditReport,
    root: &LibraryRoot,
    options: &RepairOptions,
) -> Result<RepairPlan, RepairError> {
    let name = || wheel.filename().to_string();
    if options.lib_sdir.is_empty()
        || options.lib_sdir.contains(['/', '\\', '\0'])
        || options.lib_sdir.chars().any(char::is_control)
    {
        return Err(RepairError::LibSdir(
            options.lib_sdir.escape_debug().to_string(),
        ));
    }
    let Some(arch) = report.arch.filter(|_| report.has_objects()) else {
        return Err(RepairError::NoElf(name()));
    };
    if report.verdicts.is_empty() {
        return Err(RepairError::NoPolicy {
            wheel: name(),
            arch,
        });
    }
    for finding in &report.findings {
        if let Finding::ElfInPurelib { path } = finding {
            return Err(RepairError::Purelib { file: path.clone() });
        }
    }
    let choice = choose(report, arch, options)?;
    let policies = Policies::builtin()?;
    let family = LibcFamily::of(choice.policy.target.libc);
    let policy = policies
        .of(family, arch)
        .find(|policy| policy.target(arch) == choice.policy.target)
        .ok_or_else(|| RepairError::NoElf(name()))?;

    let mut grafting = Grafting::new(wheel, root, policy, arch, &options.lib_sdir);
    grafting.include(report, &options.audit.include)?;
    for object in report.objects.iter().filter(|object| object.considered) {
        grafting.add(object)?;
    }
    let mut unstripped = BTreeMap::new();
    if options.strip {
        grafting.strip(report, &mut unstripped)?;
    }
    let mut audit = options.audit.clone();
    audit.include = grafting.included_names(&audit.include);
    let (grafts, edits) = grafting.finish();

    let platforms = if options.update_tags {
        let any_libc = report.libc.is_none() && grafts.is_empty();
        let best = choice.policy.target;
        tags::platforms(wheel.filename(), best, any_libc, &choice.tags)
    } else {
        wheel.filename().platforms.clone()
    };
    let build = options.build_tag.clone().or(wheel.filename().build.clone());
    let filename = WheelFilename {
        build,
        platforms: platforms.clone(),
        ..wheel.filename().clone()
    };
    Ok(RepairPlan {
        source: wheel.filename().clone(),
        // Through its text, so that what is not a file name is refused.
        filename: filename.to_string().parse()?,
        policy: choice.policy.target,
        platforms,
        update_tags: options.update_tags,
        grafts,
        edits,
        unstripped,
        level: options.level.map(Level::number),
        audit,
    })
}

struct Choice<'a> {
    /// The verdict whose grafts are made.
    policy: &'a Verdict,
    /// Tags to write.
    tags: Vec<String>,
}

/// Which tags to write: the one asked for and, if it is better, the one earned; never better than earned.
fn choose<'a>(
    report: &'a AuditReport,
    arch: Arch,
    options: &RepairOptions,
) -> Result<Choice<'a>, RepairError> {
    let wheel = || report.wheel.to_string();
    let with_aliases = |verdict: &Verdict| -> Vec<String> {
        std::iter::once(verdict.target.to_string())
            .chain(verdict.aliases.iter().cloned())
            .collect()
    };
    let earned = report.earned.and_then(|target| report.verdict(target));
    let Some(target) = options.target else {
        let policy = earned.ok_or_else(|| {
            let newest = report.verdicts.last();
            RepairError::NotEarned {
                wheel: wheel(),
                target: newest
                    .map_or_else(|| "any platform tag".to_owned(), |v| v.target.to_string()),
                obstacles: newest.map(|v| v.obstacles.clone()).unwrap_or_default(),
            }
        })?;
        let tags = with_aliases(policy);
        return Ok(Choice { policy, tags });
    };
    let family = LibcFamily::of(target.libc);
    let of_family = |verdict: &Verdict| LibcFamily::of(verdict.target.libc) == family;
    if target.arch != arch || !report.verdicts.iter().any(of_family) {
        return Err(RepairError::OtherPlatform {
            wheel: wheel(),
            actual: match report.libc {
                Some(libc) => format!("{libc} on {arch}"),
                None => arch.to_string(),
            },
            target,
        });
    }
    let requested = report.verdict(target);
    let possible = requested.filter(|verdict| verdict.is_possible());
    let Some(requested) = possible else {
        return Err(RepairError::NotEarned {
            wheel: wheel(),
            target: target.to_string(),
            obstacles: requested.map(|v| v.obstacles.clone()).unwrap_or_default(),
        });
    };
    let mut tags = vec![target.to_string()];
    tags.extend(target.legacy_alias());
    let better = earned.filter(|earned| {
        earned.target != target && earned.target.libc.runs_on(target.libc) && !options.only_plat
    });
    Ok(match better {
        Some(policy) => {
            tags.extend(with_aliases(policy));
            Choice { policy, tags }
        }
        None => Choice {
            policy: requested,
            tags,
        },
    })
}
