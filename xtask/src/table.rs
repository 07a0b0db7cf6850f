//! The demo's last page.

use std::path::Path;

use wheelfarm_tests::report::Report;
use wheelfarm_tests::wheel::platforms;

use crate::prove::Findings;

/// Prints what was built, where it lies, what is in it, what was proved, and how long each step took.
pub(crate) fn print(report: &Report, proofs: &[Findings], out: &Path) {
    println!("\nwheels in {}", out.display());
    for (wheel, found) in report.wheels.iter().zip(proofs) {
        println!("\n{}", wheel.filename);
        row("tag", &platforms(&wheel.filename).join(", "));
        row(
            "built in",
            &format!("{}, Python {}", wheel.image, wheel.python),
        );
        row("sha256", &wheel.sha256);
        #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
        row("size", &format!("{:.2} MB", wheel.size as f64 / 1e6));
        for (number, library) in wheel.vendored.iter().enumerate() {
            let label = if number == 0 { "vendored" } else { "" };
            let package = library.package.as_deref().unwrap_or("no system package");
            row(label, &format!("{:24} {package}", library.soname));
        }
        for (number, finding) in found.iter().enumerate() {
            row(if number == 0 { "proof" } else { "" }, finding);
        }
        let job = format!("{} {} ", wheel.project, wheel.version);
        let cell = format!("{}-{}", wheel.python_tag(), wheel.target);
        let steps = report
            .steps
            .iter()
            .filter(|step| step.job == cell || step.job == format!("{job}{cell}"));
        let steps: Vec<_> = steps
            .map(|step| format!("{} {:.1} s", step.stage, step.seconds))
            .collect();
        row("time", &steps.join(", "));
    }
    println!("\nlocks");
    for lock in &report.locks {
        println!("  {}", lock.display());
    }
}

fn row(label: &str, text: &str) {
    println!("  {label:9} {text}");
}
