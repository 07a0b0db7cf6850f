//! The table, and a line for every failure.

use std::collections::BTreeSet;
use std::time::Duration;

use wheelfarm_tests::anyhow::Result;

use super::Finding;
use super::check::{Outcome, STRIPS};
use super::corpus::Corpus;
use crate::bench::wheels::directory;

impl Outcome {
    /// Whether anything is wrong with it.
    pub(crate) fn fails(&self) -> bool {
        !self.problems().is_empty()
    }

    /// What is wrong with it, in words.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.refused.iter().map(|why| format!("refused: {why}")));
        problems.extend(self.tables.iter().map(|what| format!("tables: {what}")));
        if self.old_base {
            problems.push("the base version definition keeps the old soname".to_owned());
        }
        let mut findings: Vec<&String> = self.findings.iter().collect();
        findings.sort_unstable();
        findings.dedup();
        problems.extend(findings.into_iter().map(|what| format!("finding: {what}")));
        problems.extend(self.load.iter().map(|what| format!("load: {what}")));
        for ((program, options), what) in STRIPS.into_iter().zip(&self.strips) {
            let what = what.iter();
            problems.extend(what.map(|what| format!("{program} {}: {what}", options.join(" "))));
        }
        let again = self.again.iter().filter(|bytes| **bytes > 0);
        problems.extend(again.map(|bytes| format!("a second edit changes {bytes} bytes")));
        problems
    }
}

/// A row of the table: its title and how an outcome counts for it.
type Row = (String, fn(&Outcome, usize) -> bool, usize);

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        ("refused".into(), |outcome, _| outcome.refused.is_some(), 0),
        (
            "wrong tables".into(),
            |outcome, _| !outcome.tables.is_empty(),
            0,
        ),
        (
            "old soname in the base version".into(),
            |outcome, _| outcome.old_base,
            0,
        ),
        (
            "new findings of readelf, eu-elflint".into(),
            |outcome, _| !outcome.findings.is_empty(),
            0,
        ),
        (
            "does not load or run".into(),
            |outcome, _| outcome.load.is_some(),
            0,
        ),
    ];
    for (index, (program, options)) in STRIPS.into_iter().enumerate() {
        let title = format!("broken by {program} {}", options.join(" "));
        rows.push((
            title,
            |outcome, index| outcome.strips.get(index).is_some_and(Option::is_some),
            index,
        ));
    }
    rows.push((
        "changed by a second same edit".into(),
        |outcome, _| outcome.again.is_some_and(|bytes| bytes > 0),
        0,
    ));
    rows.push(("any of these".into(), |outcome, _| outcome.fails(), 0));
    rows
}

/// Prints all there is to say, and writes failures to `target/bench/edit`.
pub(crate) fn print(
    corpus: &Corpus,
    findings: &[Finding],
    errors: &[String],
    took: Duration,
) -> Result<()> {
    println!(
        "{} distinct objects in {:.0} s ({} copies, {} not dynamic, {} too large, {} more of a kind left out)",
        corpus.objects.len(),
        took.as_secs_f64(),
        corpus.copies,
        corpus.not_dynamic,
        corpus.too_large,
        corpus.surplus
    );
    let machines: Vec<String> = corpus
        .machines()
        .into_iter()
        .map(|(machine, count)| format!("{machine} {count}"))
        .collect();
    println!("machines: {}", machines.join(", "));
    for source in ["system", "deb", "wheel"] {
        let count = corpus
            .objects
            .iter()
            .filter(|object| object.source == source)
            .count();
        print!("{source}: {count}  ");
    }
    let loads = findings
        .iter()
        .filter(|finding| finding.baseline.loads)
        .count();
    println!("\nnative ones that load as they came: {loads}\n");

    let ours: Vec<(&Finding, &Outcome)> = findings
        .iter()
        .map(|finding| (finding, &finding.ours))
        .collect();
    let beside = findings
        .iter()
        .filter_map(|finding| Some((finding, finding.patchelf.as_ref()?)));
    let beside: Vec<(&Finding, &Outcome)> = beside.collect();
    row("", "wheelfarm", "patchelf");
    row(
        "objects",
        &ours.len().to_string(),
        &beside.len().to_string(),
    );
    for (title, counts, index) in rows() {
        let count = |list: &[(&Finding, &Outcome)]| {
            list.iter()
                .filter(|(_, outcome)| counts(outcome, index))
                .count()
                .to_string()
        };
        row(&title, &count(&ours), &count(&beside));
    }
    let mut aligns: Vec<u64> = findings.iter().map(|finding| finding.align).collect();
    aligns.sort_unstable();
    aligns.dedup();
    for align in aligns {
        let title = format!("growth with {} KB pages: median, most", align >> 10);
        row(
            &title,
            &growth(&ours, Some(align)),
            &growth(&beside, Some(align)),
        );
    }
    row(
        "growth of all: median, most",
        &growth(&ours, None),
        &growth(&beside, None),
    );
    row("CPU time of the edits", &cpu(&ours), &cpu(&beside));

    let mut failures = Vec::new();
    for (tool, list) in [("wheelfarm", &ours), ("patchelf", &beside)] {
        for (finding, outcome) in list {
            let (machine, path) = (&finding.object.machine, finding.object.path.display());
            let problems = outcome.problems().into_iter();
            failures.extend(problems.map(|problem| format!("{tool} {machine} {path}: {problem}")));
        }
    }
    let path = directory("edit")?.join("failures.txt");
    fs_err::write(&path, failures.join("\n"))?;
    println!(
        "\nwheelfarm's failures (patchelf's are in `{}`):",
        path.display()
    );
    for line in failures
        .iter()
        .filter(|line| line.starts_with("wheelfarm"))
        .take(400)
    {
        println!("{line}");
    }
    for line in errors.iter().chain(&corpus.unreadable) {
        println!("{line}");
    }
    Ok(())
}

/// The paths of objects that wheelfarm failed with in the last run.
pub(crate) fn failed() -> Result<BTreeSet<String>> {
    let text = fs_err::read_to_string(directory("edit")?.join("failures.txt"))?;
    let lines = text.lines().filter(|line| line.starts_with("wheelfarm "));
    let paths = lines.filter_map(|line| line.splitn(3, ' ').nth(2)?.split_once(": "));
    Ok(paths.map(|(path, _)| path.to_owned()).collect())
}

fn row(title: &str, ours: &str, beside: &str) {
    println!("{title:42} {ours:>24} {beside:>24}");
}

fn growth(list: &[(&Finding, &Outcome)], align: Option<u64>) -> String {
    let wanted = list.iter().filter(|(finding, outcome)| {
        align.is_none_or(|align| finding.align == align) && outcome.refused.is_none()
    });
    let mut sizes: Vec<u64> = wanted.map(|(_, outcome)| outcome.growth).collect();
    sizes.sort_unstable();
    let median = sizes.get(sizes.len() / 2).copied().unwrap_or(0);
    let most = sizes.last().copied().unwrap_or(0);
    format!("{}, {} KB", kilobytes(median), kilobytes(most))
}

fn kilobytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1000, bytes % 1000 / 100)
}

fn cpu(list: &[(&Finding, &Outcome)]) -> String {
    let total: u64 = list.iter().map(|(_, outcome)| outcome.cpu).sum();
    format!("{:.1} s", Duration::from_nanos(total).as_secs_f64())
}
