//! The forms of a plan: for people, for programs, and for a matrix of GitHub's jobs.

use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::model::{Explained, PlanReport, Planned, PlannedCell};
use crate::commands::table::table;
use crate::printer::Printer;
use crate::units::time;

impl PlanReport {
    /// The form for programs.
    pub(crate) fn to_json(&self) -> Value {
        // Texts, numbers and lists: always JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What `fromJSON` in a workflow makes a matrix of: a job for every cell in which there is something to do, or
    /// for every package that is built there.
    pub(crate) fn github_matrix(&self, per_package: bool) -> Value {
        let mut include = Vec::new();
        for cell in self.cells.iter().filter(|cell| cell.is_work()) {
            let PlannedCell {
                python,
                target,
                image,
                ..
            } = cell;
            let entry = json!({
                "cell": cell.cell, "python": python, "target": target, "image": image,
            });
            if !per_package {
                include.push(entry);
                continue;
            }
            for job in cell.jobs.iter().filter(|job| job.is_built()) {
                let mut entry = entry.clone();
                entry["package"] = json!(job.project);
                entry["requirement"] = json!(format!("{}=={}", job.project, job.version));
                include.push(entry);
            }
        }
        json!({ "include": include })
    }

    /// The form for people.
    pub(crate) fn print(&self, printer: Printer) {
        for cell in &self.cells {
            printer.result(format_args!("{} in {}", cell.cell.bold(), cell.image));
            for line in lines(cell) {
                printer.result(format_args!("  {line}"));
            }
        }
        printer.result(self.sums());
    }

    /// The sums, in one line.
    fn sums(&self) -> String {
        let count = |words: &[&str]| {
            let jobs = self.jobs();
            jobs.filter(|job| words.contains(&job.does)).count()
        };
        let built: Vec<_> = self.jobs().filter(|job| job.is_built()).collect();
        let known: f64 = built.iter().filter_map(|job| job.estimate).sum();
        let unknown = built.iter().filter(|job| job.estimate.is_none()).count();
        let work = match (built.len(), unknown) {
            (0, _) => String::new(),
            (_, 0) => format!(", {} of building", time(known)),
            (all, unknown) if all == unknown => ", in unknown time".to_owned(),
            (_, unknown) => format!(
                ", {} of building and {unknown} of unknown time",
                time(known)
            ),
        };
        let more = if self.cells.iter().any(|cell| cell.incomplete) {
            "; more is known when packages that state no metadata are built"
        } else {
            ""
        };
        format!(
            "{} wheels: {} in the store, {} to fetch, {} to repair, {} to build{work}{more}",
            self.jobs().count(),
            count(&["cached", "reused", "index"]),
            count(&["fetch"]),
            count(&["repair"]),
            built.len(),
        )
    }
}

impl Planned {
    fn is_built(&self) -> bool {
        self.does == "build"
    }

    /// What there is to know of its build time.
    fn time(&self) -> String {
        match self.estimate {
            Some(seconds) => time(seconds),
            None if self.is_built() => "unknown".to_owned(),
            None => String::new(),
        }
    }

    /// What comes before the build, and so before its key is known.
    fn before(&self) -> Option<String> {
        match self.first.as_slice() {
            [] => None,
            [one] if one == "environment" => {
                Some("its environment is to be made; its key is not known before".to_owned())
            }
            jobs => Some(format!(
                "build requirements without wheels are built first: {}; its key is not known before",
                jobs.join(", ")
            )),
        }
    }
}

impl Explained {
    fn lines(&self) -> Vec<String> {
        if self.lines.is_empty() {
            return vec![
                "nothing differs from the last build: it failed, or its wheel was lost".to_owned(),
            ];
        }
        let first = format!("the last build was of {}; what differs:", self.version);
        let lines = self.lines.iter().map(|line| match line.as_bytes() {
            [b'-', ..] => line.red().to_string(),
            _ => line.green().to_string(),
        });
        std::iter::once(first).chain(lines).collect()
    }
}

/// A cell's jobs as a table, with what there is to add below each.
fn lines(cell: &PlannedCell) -> Vec<String> {
    let header = ["what", "wheel", "last took", "why"].map(|word| word.dimmed().to_string());
    let rows = cell.jobs.iter().map(|job| {
        let what = if job.is_work() {
            job.does.yellow().bold().to_string()
        } else {
            job.does.green().bold().to_string()
        };
        let wheel = format!("{} {}", job.project, job.version);
        [what, wheel, job.time(), job.because.clone()].to_vec()
    });
    let rows: Vec<_> = std::iter::once(header.to_vec()).chain(rows).collect();
    let mut table = table(&rows, &[2]).into_iter();
    let mut lines: Vec<_> = table.next().into_iter().collect();
    for (line, job) in table.zip(&cell.jobs) {
        lines.push(line);
        let more = job.explanation.iter().flat_map(Explained::lines);
        lines.extend(
            job.before()
                .into_iter()
                .chain(more)
                .map(|line| format!("        {line}")),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::example;

    #[test]
    fn a_matrix_has_what_there_is_to_do() {
        let plan = example();
        let matrix = plan.github_matrix(false).to_string();
        assert_eq!(
            matrix,
            r#"{"include":[{"cell":"cp311-manylinux_2_36_x86_64","image":"debian-12","python":"3.11","target":"manylinux_2_36_x86_64"}]}"#
        );
        let matrix = plan.github_matrix(true);
        let packages: Vec<_> = matrix["include"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["requirement"].as_str().unwrap())
            .collect();
        assert_eq!(packages, ["bb==1.0", "cc==1.0"]);
    }

    #[test]
    fn unknown_times_are_said_to_be_unknown() {
        assert_eq!(
            example().sums(),
            "5 wheels: 2 in the store, 1 to fetch, 0 to repair, 2 to build, 1 m 05 s of building and 1 of unknown time"
        );
    }
}
