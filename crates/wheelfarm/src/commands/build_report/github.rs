//! The report as commands of a GitHub Actions runner: a folded group for each log, an annotation for each failure.
//!
//! A runner acts on lines that begin with `::`, and a build may print what it likes; so its log stands between
//! `::stop-commands::TOKEN` and `::TOKEN::`, with a token that the log cannot hold.

use wheelfarm_types::Digest;

use super::model::Failed;

/// The lines for a failure; `log` is what its job printed, if there is a log.
pub(crate) fn failure(failure: &Failed, log: Option<&str>) -> Vec<String> {
    let tail = failure.tail.join("\n");
    let log = log.unwrap_or(&tail);
    let mut lines = Vec::new();
    if !log.is_empty() {
        // No text holds its own digest.
        let token = format!("wheelfarm-{}", Digest::of(log));
        lines.push(format!("::group::{}", data(&failure.job)));
        lines.push(format!("::stop-commands::{token}"));
        lines.extend(log.lines().map(str::to_owned));
        lines.push(format!("::{token}::"));
        lines.push("::endgroup::".to_owned());
    }
    let mut message = failure.message.clone();
    if let Some(hint) = &failure.hint {
        message.push_str("\nhint: ");
        message.push_str(hint);
    }
    lines.push(format!(
        "::error title={}::{}",
        property(&failure.job),
        data(&message)
    ));
    lines
}

/// What stands behind a command: a runner takes it to the end of the line.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property, which ends at a comma or colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::build_report::model::tests::example;

    #[test]
    fn a_log_gives_no_commands_and_the_annotation_is_one_line() {
        let report = example();
        let lines = failure(report.failures.first().unwrap(), None);
        let token = Digest::of("::set-output name=a::b\n<x> & `y`");
        assert_eq!(
            lines,
            [
                "::group::bad 2.0 cp311-manylinux_2_36_x86_64".to_owned(),
                format!("::stop-commands::wheelfarm-{token}"),
                "::set-output name=a::b".to_owned(),
                "<x> & `y`".to_owned(),
                format!("::wheelfarm-{token}::"),
                "::endgroup::".to_owned(),
                "::error title=bad 2.0 cp311-manylinux_2_36_x86_64::bad 2.0: its build ended with exit code 1%0Ahint: install `libbad-dev`, or do without: 100%25".to_owned(),
            ]
        );
    }

    #[test]
    fn properties_end_where_they_end() {
        assert_eq!(property("a: b, 5%\n"), "a%3A b%2C 5%25%0A");
    }
}
