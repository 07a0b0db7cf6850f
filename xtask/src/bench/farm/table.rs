//! What was measured and what was built, as Markdown.

use std::collections::BTreeMap;

use wheelfarm_tests::report::{Report, ReportedWheel};
use wheelfarm_tests::wheel::platforms;

use super::Measured;
use super::theirs::Pip;

/// From how many system packages libraries are listed: all are in the wheel's SBOM.
const LISTED: usize = 25;

/// Where the time of a cold run went: seconds of all jobs, by stage.
pub(super) fn cold(report: &Report) {
    let mut stages: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for step in &report.steps {
        let stage = stages.entry(&step.stage).or_default();
        *stage = (stage.0 + 1, stage.1 + step.seconds);
    }
    println!("\n| stage of the cold run | times | seconds, all jobs |\n|---|---:|---:|");
    for (stage, (times, seconds)) in stages {
        println!("| {stage} | {times} | {seconds:.1} |");
    }
}

pub(super) fn print(cold: &Report, changed: &Report, unchanged: &Report, pip: Option<&Pip>) {
    println!("\n| | pip wheel | wheelfarm | | containers |\n|---|---:|---:|---:|---:|");
    if let Some(pip) = pip {
        let parts = [("system packages", pip.install), ("`pip wheel`", pip.build)];
        for (name, seconds) in parts {
            println!("| {name} | {seconds:.1} s | | | |");
        }
    }
    let theirs = pip.map(|pip| pip.total.seconds);
    for (name, report) in [
        ("cold", cold),
        ("one package changed", changed),
        ("nothing changed, 100 requirements", unchanged),
    ] {
        let ours = Measured {
            seconds: report.seconds,
            containers: report.containers,
        };
        // pip knows no difference between them: it does the whole again.
        let (theirs, ratio) = match theirs {
            Some(theirs) if report.wheels.len() == cold.wheels.len() => (
                format!("{theirs:.1} s"),
                format!("{:.2}x", theirs / ours.seconds),
            ),
            _ => (String::new(), String::new()),
        };
        println!(
            "| {name} | {theirs} | {:.2} s | {ratio} | {} |",
            ours.seconds, ours.containers
        );
    }
    let built = cold.wheels.iter().filter(|wheel| wheel.origin == "built");
    println!(
        "\n{} wheels, {} of them built; {} with nothing changed",
        cold.wheels.len(),
        built.count(),
        unchanged.wheels.len()
    );
    if let Some(pip) = pip {
        println!("{}: {} wheels", pip.version, pip.wheels);
    }
}

/// The table of `docs/packages.md`: a line for each wheel that was built; below it what each vendors.
pub(super) fn packages(reports: &[Report]) {
    let mut wheels: BTreeMap<(&str, &str), &ReportedWheel> = BTreeMap::new();
    let mut seconds: BTreeMap<&str, f64> = BTreeMap::new();
    for report in reports {
        let built = report.wheels.iter().filter(|wheel| wheel.proof.is_some());
        wheels.extend(built.map(|wheel| ((&*wheel.project, &*wheel.python), wheel)));
        let builds = report.steps.iter().filter(|step| step.stage == "build");
        for step in builds {
            let time = seconds.entry(&step.job).or_default();
            *time = time.max(step.seconds);
        }
    }
    println!(
        "| package | Python | tag earned | libraries vendored | size, MB | build, s | proved |"
    );
    println!("|---|---|---|---:|---:|---:|---|");
    for wheel in wheels.values() {
        let cell = format!("{}-{}", wheel.python_tag(), wheel.target);
        let job = format!("{} {} {cell}", wheel.project, wheel.version);
        let time = seconds.get(job.as_str());
        #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
        let size = wheel.size as f64 / 1e6;
        println!(
            "| {} {} | {} | `{}` | {} | {size:.2} | {} | {} |",
            wheel.project,
            wheel.version,
            wheel.python,
            platforms(&wheel.filename).join("`, `"),
            wheel.vendored.len(),
            time.map(|time| format!("{time:.0}")).unwrap_or_default(),
            proved(wheel)
        );
    }
    println!("\nWhat they vendor, with the version of the system package:\n");
    for wheel in wheels.values() {
        if !wheel.vendored.is_empty() {
            println!("- {}, {}: {}", wheel.project, wheel.image, vendored(wheel));
        }
    }
}

fn proved(wheel: &ReportedWheel) -> String {
    match &wheel.proof {
        Some(proof) => format!(
            "{} of {} modules",
            proof.imported.len(),
            proof.imported.len() + proof.noted.len() + proof.failed.len()
        ),
        None => "no".to_owned(),
    }
}

/// Libraries by the package they are from: several of one package share its version.
fn vendored(wheel: &ReportedWheel) -> String {
    let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for library in &wheel.vendored {
        let package = library.package.as_deref().unwrap_or("no package");
        packages.entry(package).or_default().push(&library.soname);
    }
    let mut texts: Vec<_> = packages
        .iter()
        .map(|(package, sonames)| format!("{} ({package})", sonames.join(", ")))
        .collect();
    if texts.len() > LISTED {
        let more = texts.split_off(LISTED).len();
        texts.push(format!("and those of {more} more packages"));
    }
    texts.join("; ")
}
