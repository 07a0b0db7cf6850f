//! What is inside a published wheel: its members, bills of materials and audit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use wheelfarm_audit::{AuditOptions, AuditReport, LibraryRoot, audit};
use wheelfarm_store::Store;
use wheelfarm_types::{Digest, Target, WheelFilename};
use wheelfarm_wheel::{EntryKind, Wheel};

use super::graph::{self, Graph};
use super::sbom::{self, Component};
use crate::{App, Problem};

/// How many looks are remembered.
const REMEMBERED: usize = 64;
/// Wheels that are looked into at the same time.
const AT_ONCE: usize = 2;
/// Most members that are listed.
const MEMBERS: usize = 3000;
/// Most findings and obstacles that are listed.
const SENTENCES: usize = 60;

/// What is inside a wheel.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Files by path; at most so many as a page can show.
    pub(super) members: Vec<Member>,
    /// How many there are.
    pub(super) count: usize,
    /// Their bytes, unpacked.
    pub(super) unpacked: u64,
    /// Files by what they are, the largest first.
    pub(super) kinds: Vec<KindOf>,
    /// What its bills of materials name.
    pub(super) components: Vec<Component>,
    /// What made it, by its own word.
    pub(super) generator: Option<String>,
    /// What its audit found.
    pub(super) audit: Option<Audit>,
    /// Why there is no audit.
    pub(super) failure: Option<String>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) size: u64,
}

/// Members of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KindOf {
    pub(super) label: &'static str,
    pub(super) count: usize,
    pub(super) size: u64,
}

/// What an audit found, in words.
#[derive(Debug)]
pub(super) struct Audit {
    /// Whether there is anything that is tied to a platform.
    pub(super) has_objects: bool,
    /// The tag it has as it is: the oldest systems it runs on.
    pub(super) earned: Option<String>,
    /// Whether it is what the name says, or better.
    pub(super) keeps_its_word: bool,
    pub(super) findings: Vec<String>,
    /// The next better tag, and what is in the way.
    pub(super) next: Option<(String, Vec<String>)>,
    pub(super) graph: Graph,
}

/// The last looks.
pub(super) struct Looks {
    known: Mutex<VecDeque<(Digest, Arc<Look>)>>,
    turn: Semaphore,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            turn: Semaphore::new(AT_ONCE),
        }
    }
}

impl Looks {
    fn get(&self, digest: &Digest) -> Option<Arc<Look>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|(other, _)| other == digest)?;
        let found = known.remove(at)?;
        let look = Arc::clone(&found.1);
        known.push_front(found);
        Some(look)
    }

    fn keep(&self, digest: Digest, look: &Arc<Look>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_front((digest, Arc::clone(look)));
        known.truncate(REMEMBERED);
    }
}

/// Looks into the published wheel `digest`. `report` is the audit of its upload, if it was kept.
pub(super) async fn look(
    app: &App,
    digest: &Digest,
    filename: &WheelFilename,
    report: Option<Digest>,
) -> Result<Arc<Look>, Problem> {
    let looks = &app.desk.looks;
    if let Some(known) = looks.get(digest) {
        return Ok(known);
    }
    let busy = |_| {
        Problem::new(
            http::StatusCode::SERVICE_UNAVAILABLE,
            "the server is ending",
        )
    };
    let turn = looks.turn.acquire().await.map_err(busy)?;
    // Somebody else may have looked meanwhile.
    if let Some(known) = looks.get(digest) {
        return Ok(known);
    }
    let store = app.registry.store();
    let report = match report {
        Some(report) => kept_report(store, &report).await,
        None => None,
    };
    let file = store.file(digest).await?;
    let filename = filename.clone();
    let looked = tokio::task::spawn_blocking(move || look_into(file, &filename, report)).await;
    drop(turn);
    let look = match looked {
        Ok(look) => Arc::new(look),
        Err(error) => {
            tracing::error!(%error, "a look into a wheel ended badly");
            Arc::new(Look {
                failure: Some("The wheel could not be looked into.".to_owned()),
                ..Look::default()
            })
        }
    };
    looks.keep(*digest, &look);
    Ok(look)
}

/// The report that was kept with an upload; none if it is of another version of the program.
async fn kept_report(store: &Store, blob: &Digest) -> Option<AuditReport> {
    let bytes = store.get(blob).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn look_into(file: fs_err::File, filename: &WheelFilename, report: Option<AuditReport>) -> Look {
    let wheel = match Wheel::from_file(file, filename.clone()) {
        Ok(wheel) => wheel,
        Err(error) => {
            return Look {
                failure: Some(error.to_string()),
                ..Look::default()
            };
        }
    };
    let mut look = Look {
        components: sbom::components(&wheel),
        generator: wheel
            .wheel_info()
            .ok()
            .and_then(|info| info.headers.get("Generator").map(str::to_owned)),
        ..Look::default()
    };
    let mut kinds: BTreeMap<&'static str, (usize, u64)> = BTreeMap::new();
    let files = wheel
        .entries()
        .iter()
        .filter(|entry| entry.kind != EntryKind::Directory);
    for entry in files {
        look.count += 1;
        look.unpacked += entry.size;
        let kind = kinds.entry(kind_of(&entry.name)).or_default();
        kind.0 += 1;
        kind.1 += entry.size;
        if look.members.len() < MEMBERS {
            look.members.push(Member {
                name: entry.name.clone(),
                size: entry.size,
            });
        }
    }
    look.members.sort_by(|a, b| a.name.cmp(&b.name));
    look.kinds = kinds
        .into_iter()
        .map(|(label, (count, size))| KindOf { label, count, size })
        .collect();
    look.kinds.sort_by_key(|kind| std::cmp::Reverse(kind.size));
    let report = match report {
        Some(report) => Ok(report),
        // Published wheels stand for themselves: nothing is found outside of them.
        None => audit(&wheel, &LibraryRoot::empty(), &AuditOptions::default()),
    };
    match report {
        Ok(report) => look.audit = Some(Audit::of(&report, filename)),
        Err(error) => look.failure = Some(error.to_string()),
    }
    look
}

fn kind_of(name: &str) -> &'static str {
    let file = name.rsplit('/').next().unwrap_or(name);
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_object =
        extension == "so" || file.contains(".so.") || matches!(extension, "pyd" | "dylib" | "dll");
    match extension {
        _ if name.contains(".dist-info/") => "metadata",
        _ if is_object => "compiled",
        "py" | "pyi" => "Python",
        "pyx" | "pxd" | "pxi" | "c" | "h" | "hpp" | "cpp" | "f" | "f90" => "other source",
        _ => "data",
    }
}

impl Audit {
    fn of(report: &AuditReport, filename: &WheelFilename) -> Self {
        let claimed = filename
            .platforms
            .iter()
            .filter_map(|tag| tag.parse::<Target>().ok())
            .min();
        let plain = |text: &str| text.to_owned();
        let earned = report.earned_without_grafting;
        let at = report
            .verdicts
            .iter()
            .position(|verdict| Some(verdict.target) == earned);
        let next = at
            .and_then(|at| at.checked_sub(1))
            .and_then(|at| report.verdicts.get(at));
        let next =
            next.map(|verdict| {
                let mut reasons: Vec<String> = verdict
                    .obstacles
                    .iter()
                    .take(8)
                    .map(|obstacle| obstacle.sentence(wheelfarm_audit::SYMBOLS, plain))
                    .collect();
                reasons.extend(
                    verdict.grafts.iter().take(8).map(|soname| {
                        format!("it needs {soname}, which these systems need not have")
                    }),
                );
                (verdict.target.to_string(), reasons)
            });
        let keeps = |target: Target| {
            earned.is_some_and(|earned| {
                earned.arch == target.arch && earned.libc.runs_on(target.libc)
            })
        };
        Self {
            has_objects: !report.objects.is_empty(),
            earned: earned.map(|target| target.to_string()),
            keeps_its_word: claimed.is_none_or(keeps),
            findings: report
                .findings
                .iter()
                .take(SENTENCES)
                .map(|finding| finding.sentence(plain))
                .collect(),
            next,
            graph: graph::graph(report, claimed),
        }
    }
}
