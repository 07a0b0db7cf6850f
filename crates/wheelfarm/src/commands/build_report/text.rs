//! The report for people.

use owo_colors::OwoColorize;
use wheelfarm_store::Store;

use super::model::{BuildReport, Row};
use super::notes::notes;
use crate::commands::table::table;
use crate::printer::Printer;
use crate::units::{harmless, shortened, size, time};

/// How many libraries a line names.
const NAMED: usize = 3;
/// Longest reason in the table; the whole one is in the report for programs.
const WHY: usize = 60;

/// One path a line: what a script wants.
pub(crate) fn print(report: &BuildReport, printer: Printer) {
    for wheel in &report.wheels {
        printer.result(wheel.path.display());
    }
}

/// What failed, with the end of its log.
pub(crate) fn print_failures(report: &BuildReport, store: &Store, printer: Printer) {
    for failure in &report.failures {
        for line in &failure.tail {
            printer.always(format_args!("{} {}", "|".dimmed(), harmless(line)));
        }
        printer.error(&failure.message, failure.hint.as_deref());
        if let Some(log) = failure.log {
            let place = store.locate(&log);
            printer.always(format_args!("{} the full log is {place}", "note:".dimmed()));
        }
    }
}

/// The final table and the sums.
pub(crate) fn print_summary(report: &BuildReport, printer: Printer) {
    let rows = report.rows();
    if !rows.is_empty() {
        let header = HEADER.map(|word| word.dimmed().to_string()).to_vec();
        let cells = rows.iter().map(|row| {
            let mut cells = cells(row).to_vec();
            if let Some(why) = cells.last_mut() {
                *why = shortened(why, WHY).dimmed().to_string();
            }
            if let Some(how) = cells.first_mut() {
                *how = match row.how {
                    "failed" => how.red().bold().to_string(),
                    _ => how.green().bold().to_string(),
                };
            }
            cells
        });
        let rows: Vec<_> = std::iter::once(header).chain(cells).collect();
        for line in table(&rows, &[3, 5]) {
            printer.note(line);
        }
    }
    for note in notes(report) {
        let word = if note.warning {
            "warning:".yellow().bold().to_string()
        } else {
            "note:".dimmed().to_string()
        };
        printer.note(format_args!("{word} {}", note.text));
    }
    printer.note(sums(report));
}

/// The columns of the final table.
pub(super) const HEADER: [&str; 7] = ["how", "wheel", "tag", "size", "vendored", "time", "why"];

/// A row of the final table as words.
pub(super) fn cells(row: &Row) -> [String; 7] {
    let named = row.vendored.iter().take(NAMED).cloned().collect::<Vec<_>>();
    let more = row.vendored.len().saturating_sub(NAMED);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    [
        row.how.to_owned(),
        row.wheel.clone(),
        row.tag.clone(),
        row.size.map(size).unwrap_or_default(),
        format!("{}{more}", named.join(", ")),
        if row.seconds > 0.0 {
            time(row.seconds)
        } else {
            String::new()
        },
        row.because.clone(),
    ]
}

/// The sums, in one line.
pub(super) fn sums(report: &BuildReport) -> String {
    let ran = match report.hits {
        Some(hits) => format!(
            "{} actions run on the cluster, {hits} found in its cache",
            report.containers
        ),
        None => format!("{} containers started", report.containers),
    };
    format!(
        "{} wheels in {} ({} built, {} from the store, {} from the index), {} failed; {ran}, {} downloaded, {:.1} s",
        report.wheels.len(),
        report.out.display(),
        report.count("built"),
        report.count("cached") + report.count("reused"),
        report.count("index"),
        report.failures.len(),
        size(report.downloaded),
        report.seconds,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::build_report::model::tests::example;

    #[test]
    fn the_table_has_what_one_wants_to_know() {
        let report = example();
        let rows: Vec<_> = report
            .rows()
            .iter()
            .map(|row| cells(row).to_vec())
            .collect();
        assert_eq!(
            table(&rows, &[3, 5]),
            [
                "cached  aa 1.0        py3-none-any                       2.4 MiB",
                "built   psycopg2 1.0  cp311-cp311-manylinux_2_34_x86_64  2.4 MiB  libpq.so.5, libssl.so.3, libcrypto.so.3 and 1 more  1 m 15 s  asked for from source",
                "failed  bad 2.0       cp311-manylinux_2_36_x86_64                                                                        3.0 s",
            ]
        );
        assert_eq!(
            sums(&report),
            "3 wheels in wheelhouse (1 built, 2 from the store, 0 from the index), 1 failed; 3 containers started, 1000 B downloaded, 80.0 s"
        );
    }
}
