//! Wheels that the index has: fetched by hash, audited once per content and target, and handed on as they are if they
//! run there.

use wheelfarm_audit::{
    AuditOptions, AuditReport, Finding, LibraryRoot, Objects, Obstacle, audit_objects,
};
use wheelfarm_resolve::LockedFile;
use wheelfarm_types::{Target, WheelFilename};
use wheelfarm_wheel::Wheel;

use super::context::{Context, run_cpu};
use super::{Artifact, Job, Origin};
use crate::error::JobError;
use crate::event::Stage;
use crate::recipes::Recipe;
use crate::records::{PinnedFile, UPSTREAM_SCHEMA, UpstreamInputs, UpstreamRecord, Vendored, kind};

/// How many symbols and libraries are named of each kind.
const NAMED: usize = 4;

/// What is known of the index's wheel: whether it runs on the target.
pub(super) async fn known(
    context: &Context,
    job: &Job,
    wheel: &LockedFile<WheelFilename>,
    recipe: &Recipe,
) -> Result<Option<UpstreamRecord>, JobError> {
    let key = crate::key::canonical_digest(&inputs_of(job, wheel, recipe));
    Ok(context.store.record(kind::UPSTREAM, &key).await?)
}

fn inputs_of(job: &Job, wheel: &LockedFile<WheelFilename>, recipe: &Recipe) -> UpstreamInputs {
    UpstreamInputs {
        schema: UPSTREAM_SCHEMA,
        wheel: PinnedFile {
            name: wheel.filename.to_string(),
            sha256: wheel.sha256,
        },
        target: job.cell.target,
        exclude: recipe.exclude.clone(),
    }
}

/// Fetches the index's wheel, and audits it if that was never done for the target.
pub(super) async fn settle(
    context: &Context,
    job: &Job,
    wheel: &LockedFile<WheelFilename>,
    recipe: &Recipe,
) -> Result<(), JobError> {
    let inputs = inputs_of(job, wheel, recipe);
    let key = crate::key::canonical_digest(&inputs);
    // Reads the wheel's objects while it is audited: as many as are fetched at a time.
    let lane = context.fetching().await?;
    let work = async {
        let digest = context.fetcher.fetch(wheel).await?;
        if known(context, job, wheel, recipe).await?.is_some() {
            return Ok(());
        }
        let file = context.store.file(&digest).await?;
        let (filename, target) = (wheel.filename.clone(), job.cell.target);
        let options = AuditOptions {
            exclude: recipe.exclude.clone(),
            ..AuditOptions::default()
        };
        let audited = run_cpu(move || Ok(audit(file, filename, target, &options))).await?;
        // One that cannot be read has nothing else against it than that.
        let audited = audited.unwrap_or_else(|problem| Audited {
            problems: vec![problem],
            ..Audited::default()
        });
        let record = UpstreamRecord {
            inputs,
            problems: audited.problems,
            notes: audited.notes,
            carried: audited.carried,
        };
        context
            .store
            .create_record(kind::UPSTREAM, &key, &record)
            .await?;
        Ok(())
    };
    context.staged(&job.id(), Stage::Fetch, work).await?;
    drop(lane);
    Ok(())
}

/// What an audit of the index's wheel finds: see [`UpstreamRecord`].
#[derive(Default)]
struct Audited {
    problems: Vec<String>,
    notes: Vec<String>,
    carried: Vec<Vendored>,
}

/// Audits the index's wheel for `target`.
fn audit(
    file: fs_err::File,
    filename: WheelFilename,
    target: Target,
    options: &AuditOptions,
) -> Result<Audited, String> {
    let wheel = Wheel::from_file(file, filename).map_err(|error| error.to_string())?;
    let objects = Objects::read(&wheel).map_err(|error| error.to_string())?;
    let report = audit_objects(&wheel, &objects, &LibraryRoot::empty(), options)
        .map_err(|error| error.to_string())?;
    Ok(Audited {
        problems: problems(&report, target),
        notes: notes(&report),
        carried: carried(&report),
    })
}

/// The shared libraries of the wheel: what has a name to be needed by and is no extension module.
fn carried(report: &AuditReport) -> Vec<Vendored> {
    let objects = report.objects.iter();
    objects
        .filter(|object| object.considered && object.extension.is_none())
        .filter_map(|object| {
            Some(Vendored {
                soname: object.soname.clone()?,
                path: object.path.clone(),
                package: None,
            })
        })
        .collect()
}

/// What keeps the wheel from running on `target`. A tag of its name that it does not earn does not: it says more
/// than `target` needs.
fn problems(report: &AuditReport, target: Target) -> Vec<String> {
    if report.verdicts.is_empty() {
        let foreign = !report.objects.is_empty();
        return Vec::from_iter(foreign.then(|| format!("has no object for {}", target.arch)));
    }
    if report.libc.is_none() {
        let fits = report
            .earned_without_grafting
            .is_some_and(|earned| earned.arch == target.arch);
        return Vec::from_iter((!fits).then(|| format!("does not run on {}", target.arch)));
    }
    let Some(verdict) = report.verdict(target) else {
        return vec![format!("is not made for {target}")];
    };
    let mut problems = Vec::new();
    if !verdict.grafts.is_empty() {
        problems.push(format!(
            "needs {}, which is not on every system of {target}",
            listed(&verdict.grafts)
        ));
    }
    problems.extend(verdict.obstacles.iter().take(NAMED).map(obstacle));
    problems
}

fn obstacle(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::TooRecent {
            file,
            library,
            version,
            ..
        } => format!("needs {version} of {library} ({file})"),
        Obstacle::Blacklisted {
            file,
            library,
            symbols,
        } => format!(
            "uses {} of {library}, which not every build of it has ({file})",
            listed(symbols)
        ),
        Obstacle::Isa { file, level } => format!("needs an x86-64-v{level} processor ({file})"),
        Obstacle::PyFpe { file } => format!("uses PyFPE_*, which few interpreters have ({file})"),
    }
}

fn notes(report: &AuditReport) -> Vec<String> {
    let earned = report
        .earned_without_grafting
        .map_or_else(|| "none".to_owned(), |earned| earned.to_string());
    let unearned = report.findings.iter().filter_map(|finding| match finding {
        Finding::UnearnedTag { tag } => Some(format!("is named {tag} and earns {earned}")),
        _ => None,
    });
    unearned.collect()
}

fn listed(names: &[String]) -> String {
    let first: Vec<_> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The index's wheel, which is in the store.
pub(super) async fn artifact(
    context: &Context,
    job: &Job,
    wheel: &LockedFile<WheelFilename>,
    record: UpstreamRecord,
    because: String,
) -> Result<Artifact, JobError> {
    let findings = record.problems.into_iter().chain(record.notes).collect();
    Ok(Artifact {
        project: job.package.name.clone(),
        version: job.package.version.clone(),
        filename: wheel.filename.clone(),
        wheel: wheel.sha256,
        size: context.store.size(&wheel.sha256).await?,
        origin: Origin::Index,
        because,
        findings,
        vendored: record.carried,
        system: Vec::new(),
        modules: Vec::new(),
        test: None,
        network: false,
        added: None,
        requires: Vec::new(),
    })
}
