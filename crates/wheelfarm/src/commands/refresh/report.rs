//! What `wheelfarm refresh` says.

use owo_colors::OwoColorize;
use serde_json::{Value, json};
use wheelfarm_build::refresh::{BuiltWheel, Line, Outlook, PackageChange, StaleLibrary};
use wheelfarm_coordinator::{BuiltWheel as NewWheel, Failure};

use crate::exit::Exit;
use crate::printer::Printer;

/// What was found, and what was done about it.
pub(super) struct RefreshReport {
    pub(super) outlook: Outlook,
    /// None if nothing was to be built.
    pub(super) rebuilt: Option<Vec<Rebuilt>>,
}

/// A stale wheel, and what came of building it anew.
pub(super) struct Rebuilt {
    pub(super) old: String,
    pub(super) new: Option<NewWheel>,
    pub(super) failures: Vec<Failure>,
}

impl RefreshReport {
    /// 0 if nothing is stale (any more), 1 if something is; else what failed says.
    pub(super) fn exit(&self, cancelled: bool) -> Exit {
        if cancelled {
            return Exit::Interrupted;
        }
        let looking = self.outlook.failures.iter().map(|(_, error)| error.kind);
        let building = self.rebuilt.iter().flatten();
        let building = building.flat_map(|wheel| wheel.failures.iter().map(|it| it.error.kind));
        if let Some(kind) = looking.chain(building).max() {
            return Exit::of(kind);
        }
        if self.outlook.stale.is_empty() || self.rebuilt.is_some() {
            Exit::Ok
        } else {
            Exit::Finding
        }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let outlook = &self.outlook;
        let stale = outlook.stale.iter();
        let failed = |(job, error): &(String, wheelfarm_build::JobError)| json!({ "job": job, "message": error.message, "hint": error.hint });
        json!({
            "version": 1,
            "compared": outlook.compared,
            "environments": outlook.lines.iter().map(line_json).collect::<Vec<_>>(),
            "stale": stale.map(|(wheel, libraries)| stale_json(wheel, libraries)).collect::<Vec<_>>(),
            "absent": outlook.absent,
            "failures": outlook.failures.iter().map(failed).collect::<Vec<_>>(),
            "rebuilt": self.rebuilt.as_ref().map(|all| all.iter().map(rebuilt_json).collect::<Vec<_>>()),
        })
    }

    /// For people.
    pub(super) fn print(&self, printer: Printer) {
        for line in &self.outlook.lines {
            let name = line.recipe.name();
            if line.changes.is_empty() {
                printer.result(format_args!("{name}: as it was"));
                continue;
            }
            let count = line.changes.len();
            let noun = if count == 1 { "package" } else { "packages" };
            printer.result(format_args!("{name}: {count} {noun} changed"));
            for change in &line.changes {
                printer.result(format_args!("  {}", changed(change)));
            }
        }
        for (wheel, libraries) in &self.outlook.stale {
            printer.result(format_args!(
                "{} {}: {}",
                "stale".yellow(),
                wheel.id(),
                told(libraries)
            ));
        }
        for wheel in self.rebuilt.iter().flatten() {
            if let Some(new) = &wheel.new {
                printer.result(format_args!(
                    "{} {} -> {}",
                    "rebuilt".green(),
                    wheel.old,
                    new.artifact.filename
                ));
            }
            for failure in &wheel.failures {
                printer.error(&failure.error.message, failure.error.hint.as_deref());
            }
        }
        for (job, error) in &self.outlook.failures {
            printer.error(&format!("{job}: {error}"), error.hint.as_deref());
        }
        for image in &self.outlook.absent {
            printer.note(format_args!(
                "{image} is not on this machine: its wheels were not looked at"
            ));
        }
        self.summary(printer);
    }

    fn summary(&self, printer: Printer) {
        let (stale, compared) = (self.outlook.stale.len(), self.outlook.compared);
        printer.note(format_args!("{stale} of {compared} wheels are stale"));
        if stale > 0 && self.rebuilt.is_none() {
            printer.note("`wheelfarm refresh --rebuild` builds them anew");
        } else if stale > 0 {
            printer.note("the next `wheelfarm build` delivers the new ones");
        }
    }
}

fn changed(change: &PackageChange) -> String {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("{} {old} -> {new}", change.package),
        (None, Some(new)) => format!("{} {new} is new", change.package),
        (Some(old), None) => format!("{} {old} is gone", change.package),
        (None, None) => change.package.clone(),
    }
}

/// Each package once, although several libraries may come from it.
fn told(libraries: &[StaleLibrary]) -> String {
    let mut told: Vec<_> = libraries
        .iter()
        .map(|library| {
            let new = library.new.as_deref().unwrap_or("gone");
            format!("{} {} -> {new}", library.package, library.old)
        })
        .collect();
    told.sort();
    told.dedup();
    told.join(", ")
}

fn line_json(line: &Line) -> Value {
    json!({
        "image": line.recipe.image,
        "packages": line.recipe.packages,
        "generation": line.generation,
        "changes": line.changes,
    })
}

fn stale_json(wheel: &BuiltWheel, libraries: &[StaleLibrary]) -> Value {
    json!({
        "project": wheel.project,
        "version": wheel.version,
        "python": wheel.cell.python,
        "target": wheel.cell.target,
        "image": wheel.cell.image.name,
        "filename": wheel.record.filename,
        "sha256": wheel.record.wheel,
        "libraries": libraries,
    })
}

fn rebuilt_json(wheel: &Rebuilt) -> Value {
    let failures = wheel.failures.iter();
    let failures = failures
        .map(|it| json!({ "job": it.job, "message": it.error.message, "hint": it.error.hint }));
    json!({
        "old": wheel.old,
        "filename": wheel.new.as_ref().map(|new| &new.artifact.filename),
        "sha256": wheel.new.as_ref().map(|new| &new.artifact.wheel),
        "failures": failures.collect::<Vec<_>>(),
    })
}
