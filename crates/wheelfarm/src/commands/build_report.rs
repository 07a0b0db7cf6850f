//! What `wheelfarm build` says at the end, for people and for programs.

use std::path::PathBuf;

use owo_colors::OwoColorize;
use serde_json::{Value, json};
use wheelfarm_build::JobErrorKind;
use wheelfarm_build::pipeline::Origin;
use wheelfarm_coordinator::{BuiltWheel, Report};
use wheelfarm_store::Store;

use crate::exit::Exit;
use crate::printer::Printer;
use crate::progress::Step;

pub(crate) struct BuildReport {
    pub(crate) store: Store,
    pub(crate) report: Report,
    pub(crate) locks: Vec<PathBuf>,
    pub(crate) out: PathBuf,
    pub(crate) steps: Vec<Step>,
    pub(crate) containers: u64,
    pub(crate) downloaded: u64,
    pub(crate) seconds: f64,
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Built => "built",
        Origin::Cached => "cached",
        Origin::Index => "index",
    }
}

fn kind(kind: JobErrorKind) -> &'static str {
    match kind {
        JobErrorKind::Request => "request",
        JobErrorKind::Package => "package",
        JobErrorKind::Audit => "audit",
        JobErrorKind::Machine => "machine",
        JobErrorKind::Cancelled => "cancelled",
    }
}

impl BuildReport {
    /// The machine-readable form; `version` rises when a member changes its meaning.
    pub(crate) fn to_json(&self) -> Value {
        let failures: Vec<_> = self
            .report
            .failures
            .iter()
            .map(|failure| {
                let error = &failure.error;
                json!({
                    "job": failure.job, "kind": kind(error.kind), "message": error.message,
                    "hint": error.hint, "log": error.log, "tail": error.tail,
                })
            })
            .collect();
        json!({
            "version": 1,
            "wheels": self.report.wheels.iter().map(|wheel| self.wheel(wheel)).collect::<Vec<_>>(),
            "locks": self.locks,
            "failures": failures,
            "steps": self.steps,
            "containers": self.containers,
            "downloaded": self.downloaded,
            "seconds": self.seconds,
        })
    }

    fn wheel(&self, wheel: &BuiltWheel) -> Value {
        let artifact = &wheel.artifact;
        json!({
            "project": artifact.project, "version": artifact.version,
            "python": wheel.cell.python, "target": wheel.cell.target, "image": wheel.cell.image.name,
            "filename": artifact.filename, "path": self.out.join(artifact.filename.to_string()),
            "sha256": artifact.wheel, "size": artifact.size, "origin": origin(artifact.origin),
            "vendored": artifact.vendored, "proof": wheel.proof,
        })
    }

    /// One path a line: what a script wants.
    pub(crate) fn print(&self, printer: Printer) {
        for wheel in &self.report.wheels {
            printer.result(self.out.join(wheel.artifact.filename.to_string()).display());
        }
    }

    pub(crate) fn print_failures(&self, printer: Printer) {
        for failure in &self.report.failures {
            let error = &failure.error;
            for line in &error.tail {
                printer.always(format_args!("{} {line}", "|".dimmed()));
            }
            printer.error(&error.message, error.hint.as_deref());
            if let Some(log) = error.log {
                let place = self.store.locate(&log);
                printer.always(format_args!("{} the full log is {place}", "note:".dimmed()));
            }
        }
    }

    pub(crate) fn print_summary(&self, printer: Printer) {
        for wheel in &self.report.wheels {
            let artifact = &wheel.artifact;
            let mut facts = vec![size(artifact.size)];
            match artifact.vendored.len() {
                0 => {}
                1 => facts.push("1 library vendored".to_owned()),
                n => facts.push(format!("{n} libraries vendored")),
            }
            if let Some(proof) = &wheel.proof {
                facts.push(format!("imports {}", list(&proof.imported)));
            }
            let word = origin(artifact.origin);
            printer.note(format_args!(
                "{:>7} {}  {}",
                word.green().bold(),
                artifact.filename,
                facts.join(", ").dimmed()
            ));
        }
        let count = |wanted| {
            let wheels = self.report.wheels.iter();
            wheels
                .filter(|wheel| wheel.artifact.origin == wanted)
                .count()
        };
        printer.note(format_args!(
            "{} wheels in {} ({} built, {} from the store, {} from the index), {} failed; {} containers started, {} downloaded, {:.1} s",
            self.report.wheels.len(),
            self.out.display(),
            count(Origin::Built),
            count(Origin::Cached),
            count(Origin::Index),
            self.report.failures.len(),
            self.containers,
            size(self.downloaded),
            self.seconds,
        ));
    }

    /// The exit code: of several failures, that of the one closest to this machine.
    pub(crate) fn exit(&self, cancelled: bool) -> Exit {
        if cancelled {
            return Exit::Interrupted;
        }
        let kinds = self
            .report
            .failures
            .iter()
            .map(|failure| failure.error.kind);
        let order = [
            JobErrorKind::Machine,
            JobErrorKind::Package,
            JobErrorKind::Request,
            JobErrorKind::Audit,
            JobErrorKind::Cancelled,
        ];
        let worst = kinds.min_by_key(|kind| order.iter().position(|known| known == kind));
        worst.map_or(Exit::Ok, Exit::of)
    }
}

fn list(modules: &[String]) -> String {
    match modules {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown with one digit after the point"
    )]
    let number = bytes as f64;
    if bytes < 1 << 10 {
        format!("{bytes} B")
    } else if bytes < 1 << 20 {
        format!("{:.1} KiB", number / 1024.0)
    } else {
        format!("{:.1} MiB", number / (1024.0 * 1024.0))
    }
}
