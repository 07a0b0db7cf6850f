//! What one should know of the wheels beside how they came.

use std::collections::BTreeSet;

use super::model::{BuildReport, Wheel};

/// One line for each thing to know.
pub(super) fn notes(report: &BuildReport) -> Vec<String> {
    let mut notes = Vec::new();
    for source in &report.sources {
        notes.push(format!("{} comes from {}", source.project, source.origin));
    }
    notes.extend(network(&report.wheels));
    notes.extend(upstream(&report.wheels));
    notes
}

/// Which wheels were built with network.
fn network(wheels: &[Wheel]) -> Option<String> {
    let names: BTreeSet<String> = wheels
        .iter()
        .filter(|wheel| wheel.hermetic == Some(false))
        .map(|wheel| format!("{} {}", wheel.project, wheel.version))
        .collect();
    let names: Vec<_> = names.into_iter().collect();
    (!names.is_empty()).then(|| {
        format!(
            "built with network, as configured: {}; what they fetched is not in their keys",
            names.join(", ")
        )
    })
}

/// What wheels of the index claim and do not hold.
fn upstream(wheels: &[Wheel]) -> Vec<String> {
    let lines: BTreeSet<String> = wheels
        .iter()
        .filter(|wheel| !wheel.findings.is_empty())
        .map(|wheel| {
            let findings = wheel.findings.join("; ");
            format!("the index's {} {findings}", wheel.filename)
        })
        .collect();
    lines.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::build_report::model::tests::example;

    #[test]
    fn what_was_built_with_network_is_named_once() {
        let mut report = example();
        assert_eq!(notes(&report), [""; 0]);
        for wheel in &mut report.wheels {
            wheel.hermetic = (wheel.project.as_str() != "aa").then_some(false);
        }
        let notes = notes(&report);
        assert_eq!(notes.len(), 1);
        assert!(notes.concat().contains("psycopg2 1.0;"), "{notes:?}");
    }
}
