//! The report as Markdown, for the summary of a step in GitHub Actions.

use std::fmt::Write as _;

use super::model::BuildReport;
use super::notes::notes;
use super::text::{HEADER, cells, sums};

/// GitHub refuses summaries of more than one MiB; what is left out is said.
const LIMIT: usize = 900 << 10;

/// The final table, and what failed with the end of its log.
pub(crate) fn summary(report: &BuildReport) -> String {
    let mut text = format!("### wheelfarm build\n\n{}\n", escaped(&sums(report)));
    let rows = report.rows();
    if !rows.is_empty() {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        text.push('\n');
        text.push_str(&line(&HEADER.map(str::to_owned)));
        text.push_str("| --- | --- | --- | ---: | --- | ---: | --- |\n");
        for row in &rows {
            text.push_str(&line(&cells(row).map(|cell| escaped(&cell))));
        }
    }
    for note in notes(report) {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "\n> {}\n", escaped(&note.text));
    }
    for failure in &report.failures {
        // Writing to a string cannot fail.
        let _infallible = write!(
            text,
            "\n<details><summary>{}</summary>\n\n<pre>\n",
            html(&failure.job)
        );
        let lines = failure.tail.iter().map(String::as_str);
        let hint = failure.hint.iter().map(|hint| format!("hint: {hint}"));
        for line in lines {
            text.push_str(&html(line));
            text.push('\n');
        }
        text.push_str(&html(&failure.message));
        text.push('\n');
        for hint in hint {
            text.push_str(&html(&hint));
            text.push('\n');
        }
        text.push_str("</pre>\n</details>\n");
        if text.len() > LIMIT {
            text.push_str("\nFurther failures are in the log of this step.\n");
            break;
        }
    }
    text
}

/// Text in a cell of a table: nothing in it is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '|' | '[' | ']' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text in HTML. An empty line would end the block that Markdown takes for HTML.
fn html(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let lines: Vec<_> = text
        .lines()
        .map(|line| {
            if line.trim().is_empty() {
                "&nbsp;"
            } else {
                line
            }
        })
        .collect();
    match lines.as_slice() {
        [] => "&nbsp;".to_owned(),
        lines => lines.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::build_report::model::tests::example;

    #[test]
    fn the_table_and_the_failures_are_markdown_whatever_they_hold() {
        assert_eq!(
            summary(&example()),
            r"### wheelfarm build

3 wheels in wheelhouse (1 built, 2 from the store, 0 from the index), 1 failed; 3 containers started, 1000 B downloaded, 80.0 s

| how | wheel | tag | size | vendored | time | why |
| --- | --- | --- | ---: | --- | ---: | --- |
| cached | aa 1.0 | py3-none-any | 2.4 MiB |  |  |  |
| built | psycopg2 1.0 | cp311-cp311-manylinux\_2\_34\_x86\_64 | 2.4 MiB | libpq.so.5, libssl.so.3, libcrypto.so.3 and 1 more | 1 m 15 s | asked for from source |
| failed | bad 2.0 | cp311-manylinux\_2\_36\_x86\_64 |  |  | 3.0 s |  |

<details><summary>bad 2.0 cp311-manylinux_2_36_x86_64</summary>

<pre>
::set-output name=a::b
&lt;x&gt; &amp; `y`
bad 2.0: its build ended with exit code 1
hint: install `libbad-dev`, or do without: 100%
</pre>
</details>
"
        );
    }

    #[test]
    fn an_empty_line_of_a_log_does_not_end_the_block() {
        let mut report = example();
        report.failures.first_mut().unwrap().tail = vec![String::new(), "**x**".to_owned()];
        assert!(summary(&report).contains("<pre>\n&nbsp;\n**x**\n"));
    }

    #[test]
    fn a_summary_is_bounded() {
        let mut report = example();
        let failure = report.failures.first().unwrap().clone();
        report.failures = (0..2000)
            .map(|_| {
                let mut failure = failure.clone();
                failure.tail = vec!["x".repeat(1000)];
                failure
            })
            .collect();
        let rows = 2000 * 200;
        assert!(summary(&report).len() < LIMIT + rows);
    }
}
