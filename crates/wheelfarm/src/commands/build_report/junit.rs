//! The report in JUnit's XML: a suite for each cell, a case for each package.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::model::{BuildReport, Failed, Wheel};

/// The whole file. `logs` has what the jobs of failures printed, by their names.
pub(crate) fn xml(report: &BuildReport, logs: &BTreeMap<String, String>) -> String {
    let mut suites: BTreeMap<&str, (Vec<&Wheel>, Vec<&Failed>)> = BTreeMap::new();
    for wheel in &report.wheels {
        suites.entry(&wheel.cell).or_default().0.push(wheel);
    }
    for failure in &report.failures {
        let (_, cell) = failure.parts();
        let cell = if cell.is_empty() { "wheelfarm" } else { cell };
        suites.entry(cell).or_default().1.push(failure);
    }
    let failures = |failed: &[&Failed]| {
        failed
            .iter()
            .filter(|failure| failure.is_of_package())
            .count()
    };
    let all: Vec<_> = report.failures.iter().collect();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail, here and below.
    let _infallible = writeln!(
        text,
        r#"<testsuites name="wheelfarm" tests="{}" failures="{}" errors="{}" time="{:.3}">"#,
        report.wheels.len() + all.len(),
        failures(&all),
        all.len() - failures(&all),
        report.seconds
    );
    for (cell, (wheels, failed)) in &suites {
        let time: f64 = wheels.iter().map(|wheel| wheel.seconds).sum::<f64>()
            + failed.iter().map(|failure| failure.seconds).sum::<f64>();
        let _infallible = writeln!(
            text,
            r#"  <testsuite name="{}" tests="{}" failures="{}" errors="{}" time="{time:.3}">"#,
            escaped(cell),
            wheels.len() + failed.len(),
            failures(failed),
            failed.len() - failures(failed),
        );
        for wheel in wheels {
            passed(&mut text, cell, wheel);
        }
        for failure in failed {
            let log = logs.get(&failure.job).map(String::as_str);
            not_passed(&mut text, cell, failure, log);
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn passed(text: &mut String, cell: &str, wheel: &Wheel) {
    let _infallible = writeln!(
        text,
        r#"    <testcase classname="{}" name="{}" time="{:.3}"><system-out>{}: {}</system-out></testcase>"#,
        escaped(cell),
        escaped(&format!("{} {}", wheel.project, wheel.version)),
        wheel.seconds,
        wheel.origin,
        escaped(&wheel.filename.to_string()),
    );
}

fn not_passed(text: &mut String, cell: &str, failure: &Failed, log: Option<&str>) {
    let (name, _) = failure.parts();
    let element = if failure.is_of_package() {
        "failure"
    } else {
        "error"
    };
    let tail = failure.tail.join("\n");
    let mut detail = failure.message.clone();
    if let Some(hint) = &failure.hint {
        let _infallible = write!(detail, "\nhint: {hint}");
    }
    let _infallible = writeln!(
        text,
        r#"    <testcase classname="{}" name="{}" time="{:.3}"><{element} type="{}" message="{}">{}</{element}><system-out>{}</system-out></testcase>"#,
        escaped(cell),
        escaped(name),
        failure.seconds,
        failure.kind,
        escaped(&failure.message),
        escaped(&detail),
        escaped(log.unwrap_or(&tail)),
    );
}

/// Text for XML 1.0, which has no place for most control characters, not even escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::build_report::model::tests::example;

    #[test]
    fn suites_are_cells_and_cases_are_packages() {
        let logs = [(
            "bad 2.0 cp311-manylinux_2_36_x86_64".to_owned(),
            "a\u{1b}[31m <b>\n]]>".to_owned(),
        )];
        assert_eq!(
            xml(&example(), &logs.into()),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="wheelfarm" tests="4" failures="1" errors="0" time="80.000">
  <testsuite name="cp311-manylinux_2_36_x86_64" tests="3" failures="1" errors="0" time="78.200">
    <testcase classname="cp311-manylinux_2_36_x86_64" name="psycopg2 1.0" time="75.200"><system-out>built: psycopg2-1.0-1wf01234567-cp311-cp311-manylinux_2_34_x86_64.whl</system-out></testcase>
    <testcase classname="cp311-manylinux_2_36_x86_64" name="aa 1.0" time="0.000"><system-out>cached: aa-1.0-py3-none-any.whl</system-out></testcase>
    <testcase classname="cp311-manylinux_2_36_x86_64" name="bad 2.0" time="3.000"><failure type="package" message="bad 2.0: its build ended with exit code 1">bad 2.0: its build ended with exit code 1
hint: install `libbad-dev`, or do without: 100%</failure><system-out>a[31m &lt;b&gt;
]]&gt;</system-out></testcase>
  </testsuite>
  <testsuite name="cp313-manylinux_2_36_x86_64" tests="1" failures="0" errors="0" time="0.000">
    <testcase classname="cp313-manylinux_2_36_x86_64" name="aa 1.0" time="0.000"><system-out>cached: aa-1.0-py3-none-any.whl</system-out></testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
