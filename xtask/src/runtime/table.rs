//! The figures of all examples, as docs/runtime-stages.md has them.

use super::example::Row;

/// Prints the table in Markdown.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn print(rows: &[Row]) {
    println!(
        "\n| image | compressed, MB | on disk, MB | system packages | setuid files | build cold, s | after a line of code, s | after a requirement, s | empty Docker cache, s | first answer, s |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let seconds = |value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
        };
        let times = row.times;
        let first = row
            .cold_start
            .map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        println!(
            "| {} | {:.1} | {:.1} | {} | {} | {} | {} | {} | {} | {first} |",
            row.name,
            megabytes(row.figures.compressed),
            megabytes(row.figures.disk),
            row.figures.packages,
            row.figures.setuid,
            seconds(times.map(|times| times.cold)),
            seconds(times.map(|times| times.code)),
            seconds(times.map(|times| times.requirement)),
            seconds(times.map(|times| times.empty_cache)),
        );
    }
}
