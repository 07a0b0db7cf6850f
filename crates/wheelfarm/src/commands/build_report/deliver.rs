//! Sends the report where it is wanted: stdout, stderr, files, a CI system.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use wheelfarm_coordinator::write_atomic;
use wheelfarm_store::Store;

use super::{BuildReport, github, junit, markdown, text};
use crate::cli::Format;
use crate::environment::variable;
use crate::exit::Failure;
use crate::printer::Printer;

/// How much of a log's end goes into JUnit files and groups of a CI system, in bytes.
const LOG: usize = 256 << 10;

/// Where a report goes.
pub(crate) struct Delivery<'a> {
    pub(crate) store: &'a Store,
    pub(crate) format: Format,
    /// Whether stdout belongs to the stream of events.
    pub(crate) stdout_taken: bool,
    pub(crate) junit: Option<&'a Path>,
    pub(crate) printer: Printer,
}

impl Delivery<'_> {
    /// Sends `report` everywhere.
    pub(crate) async fn send(&self, report: &BuildReport) -> Result<(), Failure> {
        let printer = self.printer;
        let on_github = variable("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        match self.format {
            _ if self.stdout_taken => {}
            Format::Json => printer.result(report.to_json()),
            Format::Text | Format::GithubMatrix => text::print(report, printer),
        }
        let logs = if on_github || self.junit.is_some() {
            self.logs(report).await
        } else {
            BTreeMap::new()
        };
        if on_github {
            for failure in &report.failures {
                let log = logs.get(&failure.job).map(String::as_str);
                for line in github::failure(failure, log) {
                    printer.always(line);
                }
            }
            if let Some(path) = variable("GITHUB_STEP_SUMMARY") {
                append(Path::new(&path), &markdown::summary(report))?;
            }
        } else {
            text::print_failures(report, self.store, printer);
        }
        text::print_summary(report, printer);
        if let Some(path) = self.junit {
            write_atomic(path, junit::xml(report, &logs).as_bytes()).map_err(|error| {
                Failure::machine(format!("the JUnit report could not be written: {error}"))
            })?;
        }
        Ok(())
    }

    /// The ends of the logs of what failed, by job. One that cannot be read is left out: the error it would tell
    /// of is worth more than the one about its log.
    async fn logs(&self, report: &BuildReport) -> BTreeMap<String, String> {
        let mut logs = BTreeMap::new();
        for failure in &report.failures {
            let Some(log) = failure.log else { continue };
            if let Ok(bytes) = self.store.get(&log).await {
                let start = bytes.len().saturating_sub(LOG);
                let end = bytes.get(start..).unwrap_or_default();
                let text = String::from_utf8_lossy(end).into_owned();
                logs.insert(failure.job.clone(), text);
            }
        }
        logs
    }
}

/// Other steps write to the same file.
fn append(path: &Path, text: &str) -> Result<(), Failure> {
    let append = || {
        let mut options = fs_err::OpenOptions::new();
        let mut file = options.create(true).append(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    append().map_err(|error: std::io::Error| {
        Failure::machine(format!("the step summary could not be written: {error}"))
    })
}
