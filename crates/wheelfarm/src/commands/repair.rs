//! `wheelfarm repair`.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use owo_colors::OwoColorize;
use rayon::prelude::*;
use serde_json::{Value, json};
use wheelfarm_audit::{AuditOptions, LibraryRoot, Objects, SeenObjects, audit_objects};
use wheelfarm_coordinator::AtomicFile;
use wheelfarm_repair::{RepairError, RepairOptions, RepairPlan, apply, plan, verify};
use wheelfarm_wheel::{Wheel, WheelError};

use super::graft_cache::Grafts;
use super::repair_settings::Settings;
use super::{opened, show_json};
use crate::cli::inspect::RepairArgs;
use crate::cli::{Format, GlobalArgs};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// A wheel in the wheelhouse.
struct Repaired {
    path: PathBuf,
    /// None: it was handed on as it was.
    plan: Option<RepairPlan>,
}

/// What the wheels of a call have in common.
struct Shared {
    root: LibraryRoot,
    grafts: Grafts,
    /// None if there is one wheel.
    seen: Option<SeenObjects>,
}

pub(crate) fn run(
    global: &GlobalArgs,
    args: &RepairArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let settings = Settings::of(args)?;
    let shared = Shared {
        root: opened::library_root(&args.audit.libraries)?,
        grafts: Grafts::default(),
        seen: (args.wheels.len() > 1).then(SeenObjects::default),
    };
    fs_err::create_dir_all(&args.wheel_dir).map_err(|e| Failure::machine(e.to_string()))?;
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(args.jobs.map_or(0, usize::from))
        .build()
        .map_err(|error| Failure::machine(format!("no threads: {error}")))?;
    let one = |wheel: &PathBuf| {
        let outcome = repair(wheel, args, &settings, &shared);
        tell(wheel, &outcome, printer);
        outcome
    };
    let outcomes: Vec<_> = threads.install(|| args.wheels.par_iter().map(one).collect());
    if global.format == Format::Json {
        let wheels: Vec<_> = args.wheels.iter().zip(&outcomes).map(as_json).collect();
        printer.result(json!({ "version": 1, "wheels": wheels }));
    } else {
        for repaired in outcomes.iter().flatten() {
            printer.result(repaired.path.display());
        }
    }
    let failed = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    // The worst: a machine that cannot write weighs more than a wheel that cannot be repaired.
    let exit = failed
        .map(|failure| failure.exit)
        .max_by_key(|exit| *exit as u8);
    Ok(exit.unwrap_or(Exit::Ok))
}

fn repair(
    path: &Path,
    args: &RepairArgs,
    settings: &Settings,
    shared: &Shared,
) -> Result<Repaired, Failure> {
    let root = &shared.root;
    let wheel = opened::wheel(path)?;
    let audit_options = AuditOptions {
        include: args.include.clone(),
        ..opened::audit_options(&args.audit)
    };
    let objects = Objects::read_hashed(&wheel)?;
    let report = audit_objects(&wheel, &objects, root, &audit_options)?;
    if !report.has_objects() {
        if wheel.filename().is_pure() && args.audit.allow_pure_python_wheel {
            return hand_on(args, &wheel);
        }
        let message = format!("{}: {}", report.wheel, show_json::not_judged(&report));
        return Err(Failure::finding(message).with_hint(Some(
            "--allow-pure-python-wheel hands on wheels for all platforms as they are".to_owned(),
        )));
    }
    let options = RepairOptions {
        target: settings.target(report.arch)?,
        build_tag: None,
        lib_sdir: args.lib_sdir.clone(),
        only_plat: args.only_plat,
        update_tags: !args.no_update_tags,
        strip: args.strip,
        level: settings.level,
        audit: audit_options,
    };
    let plan = plan(&wheel, &report, root, &options)?;
    if is_done(&wheel, &objects, &plan)? {
        return hand_on(args, &wheel);
    }
    if !settings.edit && plan.edits_elf() {
        return Err(refused(&plan));
    }
    let path = args.wheel_dir.join(plan.filename.to_string());
    let io = |error: std::io::Error| Failure::machine(error.to_string());
    let mut file = AtomicFile::create(&path).map_err(io)?;
    let mut out = BufWriter::new(file.writer());
    let changed = apply(&plan, &wheel, &objects, root, &shared.grafts, &mut out)?;
    out.flush().map_err(io)?;
    drop(out);
    let written = fs_err::File::open(file.temporary()).map_err(io)?;
    let repaired = Wheel::from_file(written, plan.filename.clone())?;
    verify(&plan, &repaired, &objects, &changed, shared.seen.as_ref())?;
    file.commit().map_err(io)?;
    Ok(Repaired {
        path,
        plan: Some(plan),
    })
}

/// What `--patcher none` says to a plan that edits.
fn refused(plan: &RepairPlan) -> Failure {
    let grafts = plan.grafts.iter().map(|graft| &graft.source);
    let files: Vec<_> = plan
        .edits
        .iter()
        .map(|edit| &edit.member)
        .chain(grafts)
        .collect();
    let files: Vec<_> = files.into_iter().map(String::as_str).collect();
    Failure::finding(format!(
        "{}: without a patcher, these cannot be edited: {}",
        plan.source,
        files.join(", ")
    ))
}

/// Whether the wheel is already what the plan makes of it: such a wheel keeps its bytes.
fn is_done(wheel: &Wheel, objects: &Objects, plan: &RepairPlan) -> Result<bool, WheelError> {
    let is_changed = !plan.grafts.is_empty()
        || !plan.edits.is_empty()
        || plan.filename != *wheel.filename()
        || plan.level.is_some();
    if is_changed {
        return Ok(false);
    }
    let mut inside = wheel.wheel_info()?.tags();
    let mut outside: Vec<_> = wheel.filename().tags().collect();
    inside.sort();
    outside.sort();
    let record = wheel.compare_record(|member| objects.digest(member))?;
    Ok((inside == outside || !plan.update_tags) && record.is_empty())
}

/// Copies a wheel that stays as it is.
fn hand_on(args: &RepairArgs, wheel: &Wheel) -> Result<Repaired, Failure> {
    let path = args.wheel_dir.join(wheel.filename().to_string());
    let copy = || {
        let mut file = AtomicFile::create(&path)?;
        wheel.copy_to(file.writer())?;
        file.commit()
    };
    copy().map_err(|error: std::io::Error| Failure::machine(error.to_string()))?;
    Ok(Repaired { path, plan: None })
}

fn tell(wheel: &Path, outcome: &Result<Repaired, Failure>, printer: Printer) {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy();
    match outcome {
        Err(failure) => printer.failure(failure),
        Ok(Repaired { plan: None, .. }) => {
            printer.note(format_args!(
                "{name}: nothing to repair, handed on as it is"
            ));
        }
        Ok(Repaired {
            plan: Some(plan), ..
        }) => {
            let names: Vec<_> = plan
                .grafts
                .iter()
                .map(|graft| graft.name.as_str())
                .collect();
            let grafted = match names.as_slice() {
                [] => "nothing to graft".to_owned(),
                [one] => format!("grafted {one}"),
                some => format!("grafted {} libraries: {}", some.len(), some.join(", ")),
            };
            printer.note(format_args!(
                "{name}: {}, {grafted}",
                plan.platforms.join(".").green()
            ));
            for line in details(plan) {
                printer.detail(format_args!("{name}: {line}"));
            }
            for (file, reason) in &plan.unstripped {
                printer.note(format_args!("{name}: {file} is not stripped: {reason}"));
            }
        }
    }
}

/// What the plan does to every single file.
fn details(plan: &RepairPlan) -> Vec<String> {
    let mut lines = Vec::new();
    for graft in &plan.grafts {
        let owner = graft.owner.as_ref();
        let owner = owner.map(|owner| format!(" of {} {}", owner.name, owner.version));
        let members: Vec<_> = graft.members.iter().map(String::as_str).collect();
        lines.push(format!(
            "{}{} becomes {}",
            graft.source,
            owner.unwrap_or_default(),
            members.join(", ")
        ));
    }
    for edit in &plan.edits {
        let mut changes = Vec::new();
        changes.extend(edit.strip.then(|| "stripped".to_owned()));
        changes.extend(edit.moved_to.iter().map(|to| format!("moved to {to}")));
        let renames = edit.renames.iter();
        changes.extend(renames.map(|(old, new)| format!("needs {new} for {old}")));
        let removed = edit.remove_needed.iter();
        changes.extend(removed.map(|name| format!("no longer needs {name}")));
        let added = edit.add_needed.iter();
        changes.extend(added.map(|name| format!("needs {name}")));
        changes.extend(edit.rpath.iter().map(|path| format!("RPATH {path}")));
        lines.push(format!("{}: {}", edit.member, changes.join(", ")));
    }
    lines
}

fn as_json((wheel, outcome): (&PathBuf, &Result<Repaired, Failure>)) -> Value {
    match outcome {
        Ok(Repaired { path, plan }) => json!({
            "wheel": wheel, "repaired": path, "changed": plan.is_some(),
            "platforms": plan.as_ref().map(|plan| &plan.platforms),
            "grafts": plan.as_ref().map_or(&[][..], |plan| &plan.grafts),
        }),
        Err(failure) => json!({
            "wheel": wheel, "error": failure.message, "hint": failure.hint,
        }),
    }
}

impl From<RepairError> for Failure {
    fn from(error: RepairError) -> Self {
        let hint = match &error {
            RepairError::MissingLibrary { .. } => Some(
                "install the package that has it, name its directory with `--ldpaths`, or `--exclude` it if the systems it runs on have it",
            ),
            RepairError::Include { .. } => Some(
                "install the package that has it, name its directory with `--ldpaths`, or give its path",
            ),
            RepairError::NotEarned { .. } => {
                Some("`wheelfarm show --why <tag>` names all obstacles and the ways out")
            }
            _ => None,
        };
        let failure = match error {
            RepairError::Wheel(error) => error.into(),
            RepairError::Audit(error) => error.into(),
            RepairError::LibSdir(_)
            | RepairError::OtherPlatform { .. }
            | RepairError::Include { .. } => Self::usage(error.to_string()),
            error => Self::finding(error.to_string()),
        };
        failure.with_hint(hint.map(str::to_owned))
    }
}
