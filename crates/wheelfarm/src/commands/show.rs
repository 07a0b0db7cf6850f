//! `wheelfarm show`.

use owo_colors::OwoColorize;
use wheelfarm_audit::{AuditReport, Finding, audit};
use wheelfarm_wheel::Wheel;

use super::show_json::{Shown, not_judged, tag};
use super::why::{Why, own_first, why};
use super::{opened, wording};
use crate::cli::inspect::ShowArgs;
use crate::cli::{Format, GlobalArgs};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// Most obstacles shown without `--why`.
const OBSTACLES: usize = 4;

pub(crate) fn run(global: &GlobalArgs, args: &ShowArgs, printer: Printer) -> Result<Exit, Failure> {
    let json = args.json || global.format == Format::Json;
    let name = args
        .wheel
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let looked = look(args);
    let (wheel, report, why) = match looked {
        Ok(looked) => looked,
        Err(failure) => {
            // Programs that read JSON get it for a wheel that is none, too.
            if json && failure.exit == Exit::Finding {
                print_json(&Shown::error(&name, failure.message.clone()), printer)?;
            }
            return Err(failure);
        }
    };
    if !report.has_objects() {
        let pure = wheel.filename().is_pure() && args.audit.allow_pure_python_wheel;
        let error = not_judged(&report);
        match (json, pure) {
            (true, true) => print_json(&Shown::pure(&name), printer)?,
            (true, false) => print_json(&Shown::error(&name, error), printer)?,
            (false, true) => printer.result(format_args!("{name} runs on every platform")),
            (false, false) => printer.error(&error, None),
        }
        return Ok(if pure { Exit::Ok } else { Exit::Finding });
    }
    if json {
        print_json(&Shown::platform(&name, &report, why), printer)?;
    } else if let Some(why) = why {
        why.print(printer);
    } else {
        print(&report, printer);
    }
    Ok(Exit::Ok)
}

fn look(args: &ShowArgs) -> Result<(Wheel, AuditReport, Option<Why>), Failure> {
    let wheel = opened::wheel(&args.wheel)?;
    let root = opened::library_root(&args.audit.libraries)?;
    let report = audit(&wheel, &root, &opened::audit_options(&args.audit))?;
    let why = match &args.why {
        Some(tag) if report.has_objects() => Some(why(&report, &root, tag)?),
        _ => None,
    };
    Ok((wheel, report, why))
}

pub(crate) fn print_json(value: &impl serde::Serialize, printer: Printer) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::machine(format!("the result is no JSON: {error}")))?;
    printer.result(text);
    Ok(())
}

fn print(report: &AuditReport, printer: Printer) {
    printer.result(report.wheel.to_string().bold());
    let grafts = report
        .earned
        .and_then(|target| report.verdict(target))
        .map_or(0, |verdict| verdict.grafts.len());
    printer.result(format_args!(
        "  as it is: {}",
        tag(report, report.earned_without_grafting).green()
    ));
    if report.earned != report.earned_without_grafting {
        printer.result(format_args!(
            "  repaired: {}, with {grafts} grafted {}",
            tag(report, report.earned).green(),
            if grafts == 1 { "library" } else { "libraries" },
        ));
    }
    print_next(report, printer);
    if !report.external.is_empty() {
        printer.result("\nLibraries from outside:");
    }
    for library in &report.external {
        let path = match &library.path {
            Some(path) => path.clone(),
            None if library.libpython => "the interpreter's".to_owned(),
            None => "not found".red().to_string(),
        };
        printer.result(format_args!(
            "  {} => {path}{}",
            library.soname.yellow(),
            wording::in_brackets(library.owner.as_ref())
        ));
    }
    let findings: Vec<_> = report
        .findings
        .iter()
        // Listed above.
        .filter(|finding| !matches!(finding, Finding::MissingLibrary { .. }))
        .collect();
    if !findings.is_empty() {
        printer.result("\nFindings:");
    }
    for finding in findings {
        printer.result(format_args!("  {}", wording::finding(finding)));
    }
}

/// What keeps the wheel from the next older policy.
fn print_next(report: &AuditReport, printer: Printer) {
    let earned = |verdict: &_| matches!(verdict, wheelfarm_audit::Verdict { target, .. } if Some(*target) == report.earned);
    let end = report
        .verdicts
        .iter()
        .position(earned)
        .unwrap_or(report.verdicts.len());
    let Some(next) = end
        .checked_sub(1)
        .and_then(|index| report.verdicts.get(index))
    else {
        return;
    };
    printer.result(format_args!("\nWhat keeps it from {}:", next.target.bold()));
    let (own, grafted) = own_first(&next.obstacles);
    for obstacle in own.chain(grafted).take(OBSTACLES) {
        printer.result(format_args!("  {}", wording::obstacle(obstacle)));
    }
    if next.obstacles.is_empty() {
        printer.result(format_args!(
            "  its systems lack more libraries: {}",
            next.grafts.join(", ")
        ));
    }
    let more = next.obstacles.len().saturating_sub(OBSTACLES);
    let more = if more > 0 {
        format!("{more} more; ")
    } else {
        String::new()
    };
    printer.result(format_args!(
        "  {}",
        format_args!("{more}ways out: --why {}", next.target.policy_name()).dimmed()
    ));
}
