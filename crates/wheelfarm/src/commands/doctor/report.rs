//! What was found: for people a line for each check, for programs one JSON value.

use owo_colors::OwoColorize;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// Of the JSON; it rises when a member changes its meaning.
const VERSION: u32 = 1;
/// How wide the column of states and that of checks are.
const STATE: usize = 7;
const CHECK: usize = 13;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It works.
    Ok,
    /// It works, but for something.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be looked at, since something that it needs does not work.
    Skipped,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) state: State,
    /// One line.
    pub(super) found: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl Finding {
    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self {
            state: State::Ok,
            found: found.into(),
            hint: None,
        }
    }

    pub(super) fn warning(found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            state: State::Warning,
            hint: Some(hint.into()),
            ..Self::ok(found)
        }
    }

    pub(super) fn failed(found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            state: State::Failed,
            ..Self::warning(found, hint)
        }
    }

    pub(super) fn skipped(found: impl Into<String>) -> Self {
        Self {
            state: State::Skipped,
            ..Self::ok(found)
        }
    }
}

impl From<Failure> for Finding {
    fn from(failure: Failure) -> Self {
        Self {
            state: State::Failed,
            found: failure.message,
            hint: failure.hint,
        }
    }
}

/// A check and what it found.
#[derive(Debug, Serialize)]
struct Checked {
    id: &'static str,
    state: State,
    found: String,
    hint: Option<String>,
}

/// Everything that was found. Text is printed as it comes, since some checks take a while.
pub(super) struct Report {
    executor: &'static str,
    /// Where text goes; none if JSON is wanted.
    text: Option<Printer>,
    checks: Vec<Checked>,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    executor: &'a str,
    ok: bool,
    checks: &'a [Checked],
}

impl Report {
    pub(super) fn new(executor: &'static str, text: Option<Printer>) -> Self {
        Self {
            executor,
            text,
            checks: Vec::new(),
        }
    }

    /// Adds what the check `id` found.
    pub(super) fn add(&mut self, id: &'static str, finding: Finding) {
        let Finding { state, found, hint } = finding;
        if let Some(printer) = self.text {
            for line in lines(id, state, &found, hint.as_deref()) {
                printer.result(line);
            }
        }
        self.checks.push(Checked {
            id,
            state,
            found,
            hint,
        });
    }

    /// Ends the report: the exit code of the command.
    pub(super) fn end(&self, printer: Printer) -> Exit {
        let failed = self.count(State::Failed);
        let warnings = self.count(State::Warning);
        if self.text.is_none() {
            printer.result(self.json());
        }
        printer.note(match (failed, warnings) {
            (0, 0) => "everything works".to_owned(),
            (0, _) => format!("everything works, with {}", counted(warnings, "warning")),
            _ => format!(
                "{} failed, {}",
                counted(failed, "check"),
                counted(warnings, "warning")
            ),
        });
        if failed == 0 {
            Exit::Ok
        } else {
            Exit::Environment
        }
    }

    fn count(&self, state: State) -> usize {
        self.checks
            .iter()
            .filter(|check| check.state == state)
            .count()
    }

    fn json(&self) -> String {
        let document = Document {
            version: VERSION,
            executor: self.executor,
            ok: self.count(State::Failed) == 0,
            checks: &self.checks,
        };
        // There is nothing in it that JSON could not say.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

fn counted(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

fn lines(id: &str, state: State, found: &str, hint: Option<&str>) -> Vec<String> {
    let word = match state {
        State::Ok => "ok".green().to_string(),
        State::Warning => "warning".yellow().to_string(),
        State::Failed => "failed".red().to_string(),
        State::Skipped => "skipped".dimmed().to_string(),
    };
    let plain = anstream::adapter::strip_str(&word).to_string();
    let padding = STATE.saturating_sub(plain.len());
    let mut lines = vec![format!("{word}{:padding$}  {id:<CHECK$}  {found}", "")];
    lines.extend(hint.map(|hint| {
        let margin = STATE + 2 + CHECK + 2;
        format!("{:margin$}{} {hint}", "", "hint:".cyan())
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_below_each_other_and_hints_below_what_they_are_for() {
        let hinted = lines("store", State::Failed, "it is full", Some("make room"));
        let plain: Vec<_> = hinted
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect();
        let place = |line: &str, word: &str| line.find(word).unwrap();
        assert_eq!(place(&plain[0], "it is full"), place(&plain[1], "hint:"));
        let skipped = lines("engine", State::Skipped, "it is full", None);
        let skipped = anstream::adapter::strip_str(&skipped[0]).to_string();
        assert_eq!(
            place(&skipped, "it is full"),
            place(&plain[0], "it is full")
        );
    }

    #[test]
    fn programs_get_every_check_and_whether_all_is_well() {
        let mut report = Report::new("docker", None);
        report.add("store", Finding::ok("fine"));
        report.add("engine", Finding::warning("slow", "be patient"));
        let value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        let expected = serde_json::json!({
            "version": 1, "executor": "docker", "ok": true,
            "checks": [
                { "id": "store", "state": "ok", "found": "fine", "hint": null },
                { "id": "engine", "state": "warning", "found": "slow", "hint": "be patient" },
            ],
        });
        assert_eq!(value, expected);
        assert_eq!(report.end(Printer::new(true, false)), Exit::Ok);
        report.add("images", Finding::failed("none", "make one"));
        assert_eq!(report.end(Printer::new(true, false)), Exit::Environment);
        assert!(report.json().contains(r#""ok":false"#));
    }
}
