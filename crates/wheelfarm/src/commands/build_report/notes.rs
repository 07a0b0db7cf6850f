//! What one should know of the wheels beside how they came.

use std::collections::{BTreeMap, BTreeSet};

use wheelfarm_build::pipeline::recipe_lines;
use wheelfarm_coordinator::Duplicate;

use super::model::{BuildReport, Wheel};

/// Something to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// Whether it is known to do harm.
    pub(super) warning: bool,
    /// What it is, in one line.
    pub(super) text: String,
}

/// One line for each thing to know.
pub(super) fn notes(report: &BuildReport) -> Vec<Note> {
    let mut notes = Vec::new();
    for source in &report.sources {
        notes.push(note(format!(
            "{} comes from {}",
            source.project, source.origin
        )));
    }
    notes.extend(report.unused.iter().map(|text| Note {
        warning: true,
        text: text.clone(),
    }));
    notes.extend(network(&report.wheels));
    notes.extend(emulated(&report.wheels));
    notes.extend(upstream(&report.wheels));
    notes.extend(added(&report.wheels));
    notes.extend(runtime_packages(report));
    notes.extend(absent(&report.wheels));
    notes.extend(copies(&report.duplicates));
    notes
}

fn note(text: String) -> Note {
    Note {
        warning: false,
        text,
    }
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: BTreeSet<_> = words.into_iter().collect();
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Which wheels were built with network.
fn network(wheels: &[Wheel]) -> Option<Note> {
    let names: BTreeSet<String> = wheels
        .iter()
        .filter(|wheel| wheel.hermetic == Some(false))
        .map(|wheel| format!("{} {}", wheel.project, wheel.version))
        .collect();
    (!names.is_empty()).then(|| {
        note(format!(
            "built with network, as configured: {}; what they fetched is not in their keys",
            words(names.iter().map(String::as_str))
        ))
    })
}

/// Where wheels were built and proved under emulation.
fn emulated(wheels: &[Wheel]) -> Option<Note> {
    let wheels = wheels.iter().filter(|wheel| wheel.emulated);
    let cells = words(wheels.map(|wheel| wheel.cell.as_str()));
    (!cells.is_empty()).then(|| note(format!("built and proved under emulation: {cells}")))
}

/// What wheels of the index claim and do not hold.
fn upstream(wheels: &[Wheel]) -> Vec<Note> {
    let lines: BTreeSet<String> = wheels
        .iter()
        .filter(|wheel| !wheel.findings.is_empty())
        .map(|wheel| {
            let findings = wheel.findings.join("; ");
            format!("the index's {} {findings}", wheel.filename)
        })
        .collect();
    lines.into_iter().map(note).collect()
}

/// What was added for builds to succeed, and how to keep it.
fn added(wheels: &[Wheel]) -> Vec<Note> {
    let lines: BTreeSet<String> = wheels
        .iter()
        .filter_map(|wheel| {
            let added = wheel.added.as_ref()?;
            Some(format!(
                "{} {} was built with {}, which its recipe lacks; to keep it, write in wheelfarm.toml\n{}",
                wheel.project,
                wheel.version,
                added.added.join(", "),
                recipe_lines(&wheel.project, added.manager, &added.all)
            ))
        })
        .collect();
    lines.into_iter().map(note).collect()
}

/// What has to be installed where the wheels run.
fn runtime_packages(report: &BuildReport) -> Vec<Note> {
    let packages = report.runtime_packages.iter();
    packages
        .map(|(cell, packages)| {
            let needing = report.wheels.iter().filter(|wheel| {
                wheel.cell == *cell && wheel.system.iter().any(|library| library.package.is_some())
            });
            note(format!(
                "{cell}: where these run, they need system packages ({}, listed in runtime-packages-{cell}.txt): {}",
                words(packages.iter().map(String::as_str)),
                words(needing.map(|wheel| wheel.project.as_str())),
            ))
        })
        .collect()
}

/// Libraries that no package of the environment has.
fn absent(wheels: &[Wheel]) -> Vec<Note> {
    let mut absent: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for wheel in wheels {
        for library in &wheel.system {
            if library.package.is_none() {
                let projects = absent.entry(&library.soname).or_default();
                projects.insert(wheel.project.as_str());
            }
        }
    }
    absent
        .into_iter()
        .map(|(library, projects)| {
            note(format!(
                "{library}, which no package of the environment has, is needed where these run: {}",
                words(projects)
            ))
        })
        .collect()
}

/// What several copies in a process have in common: who carries them, which are known to do harm, and whether Python
/// has one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Meeting<'a> {
    projects: BTreeSet<&'a str>,
    python: bool,
    /// Why it does harm.
    harm: Option<&'a str>,
    /// Whether the wheels' own copies differ.
    differ: bool,
}

/// Libraries of which a process may hold several copies, those that meet in the same way in one line.
fn copies(duplicates: &[Duplicate]) -> Vec<Note> {
    let mut meetings: BTreeMap<Meeting<'_>, BTreeSet<String>> = BTreeMap::new();
    for duplicate in duplicates.iter().filter(|found| found.in_process() > 1) {
        let carriers = duplicate.copies.iter();
        let meeting = Meeting {
            projects: carriers.map(|copy| copy.project.as_str()).collect(),
            python: duplicate.python,
            harm: duplicate.harm.as_deref(),
            differ: duplicate.files > 1,
        };
        let packages: BTreeSet<&str> = duplicate
            .copies
            .iter()
            .filter_map(|copy| copy.package.as_deref())
            .collect();
        let library = if duplicate.files > 1 && packages.len() > 1 {
            format!("{} ({})", duplicate.library, words(packages))
        } else {
            duplicate.library.clone()
        };
        meetings.entry(meeting).or_default().insert(library);
    }
    meetings
        .into_iter()
        .map(|(meeting, libraries)| describe(&meeting, &libraries))
        .collect()
}

fn describe(meeting: &Meeting<'_>, libraries: &BTreeSet<String>) -> Note {
    let projects = words(meeting.projects.iter().copied());
    let libraries = words(libraries.iter().map(String::as_str));
    let Meeting {
        python,
        harm,
        differ,
        ..
    } = meeting;
    if !differ {
        let verb = if meeting.projects.len() == 1 {
            "carries"
        } else {
            "carry"
        };
        return note(format!(
            "{projects} {verb} {libraries}, and Python's own modules load the system's: a process may hold both"
        ));
    }
    let python = if *python {
        "; Python's own modules load a further one"
    } else {
        ""
    };
    let why = harm.map_or_else(String::new, |why| {
        format!("; {why}: `vendor = \"system\"` for them has one copy")
    });
    Note {
        warning: harm.is_some(),
        text: format!(
            "{projects} carry different files of {libraries}: a process that imports them holds each{python}{why}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use wheelfarm_build::records::SystemLibrary;
    use wheelfarm_coordinator::Carrier;

    use super::*;
    use crate::commands::build_report::model::tests::example;

    #[test]
    fn emulation_is_told_by_cell() {
        let mut report = example();
        for wheel in &mut report.wheels {
            wheel.emulated = true;
            wheel.cell = "cp311-manylinux_2_36_aarch64".to_owned();
        }
        let told = "built and proved under emulation: cp311-manylinux_2_36_aarch64";
        assert_eq!(notes(&report), [note(told.to_owned())]);
    }

    #[test]
    fn what_was_built_with_network_is_named_once() {
        let mut report = example();
        assert_eq!(notes(&report), []);
        for wheel in &mut report.wheels {
            wheel.hermetic = (wheel.project.as_str() != "aa").then_some(false);
        }
        let notes = notes(&report);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].text.contains("psycopg2 1.0;"), "{notes:?}");
    }

    #[test]
    fn what_the_system_must_have() {
        let mut report = example();
        let cell = report.wheels[0].cell.clone();
        let library = |soname: &str, package: Option<&str>| SystemLibrary {
            soname: soname.to_owned(),
            package: package.map(str::to_owned),
        };
        report.wheels[0].system = vec![
            library("libpq.so.5", Some("libpq5")),
            library("libgpu.so.1", None),
        ];
        let packages = BTreeSet::from(["libpq5".to_owned()]);
        report.runtime_packages.insert(cell, packages);
        let texts: Vec<_> = notes(&report).into_iter().map(|note| note.text).collect();
        assert_eq!(
            texts,
            [
                "cp311-manylinux_2_36_x86_64: where these run, they need system packages (libpq5, listed in runtime-packages-cp311-manylinux_2_36_x86_64.txt): psycopg2",
                "libgpu.so.1, which no package of the environment has, is needed where these run: psycopg2",
            ]
        );
    }

    fn duplicate(library: &str, files: usize, python: bool, harm: bool) -> Duplicate {
        let carrier = |project: &str, package: &str| Carrier {
            project: project.parse().unwrap(),
            soname: format!("{library}.so.1"),
            path: String::new(),
            package: Some(format!("{library} {package}")),
        };
        Duplicate {
            cell: "cp311-manylinux_2_36_x86_64".to_owned(),
            library: library.to_owned(),
            copies: vec![
                carrier("a", "1.0"),
                carrier("b", if files > 1 { "1.1" } else { "1.0" }),
            ],
            files,
            python,
            harm: harm.then_some("it keeps state".into()),
        }
    }

    #[test]
    fn copies_that_share_a_process() {
        let found = copies(&[
            duplicate("libcrypto", 1, true, true),
            duplicate("libssl", 1, true, true),
            duplicate("libxml2", 2, false, true),
            duplicate("libfoo", 2, false, false),
            // One file with one name: loaded once.
            duplicate("libbar", 1, false, false),
        ]);
        let found: Vec<_> = found
            .iter()
            .map(|note| (note.warning, note.text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    false,
                    "a, b carry different files of libfoo (libfoo 1.0, libfoo 1.1): a process that imports them holds each"
                ),
                (
                    true,
                    "a, b carry different files of libxml2 (libxml2 1.0, libxml2 1.1): a process that imports them holds each; it keeps state: `vendor = \"system\"` for them has one copy"
                ),
                (
                    false,
                    "a, b carry libcrypto, libssl, and Python's own modules load the system's: a process may hold both"
                ),
            ]
        );
    }
}
