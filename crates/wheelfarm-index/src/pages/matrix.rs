//! A project's matrix: versions by Pythons and platforms.

use std::collections::{BTreeMap, BTreeSet};

use wheelfarm_build::records::BuildOutcome;
use wheelfarm_types::WheelFilename;

use super::columns::{Key, Platform, Python, key_of_cell, places};
use super::listing::Spelled;
use super::records::Ended;
use crate::registry::File;

/// Most columns; the archive of a project with more is not for eyes.
const COLUMNS: usize = 60;

/// A table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matrix {
    /// Platforms, each over some columns.
    pub(super) groups: Vec<Group>,
    /// Pythons, in the order of the groups.
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// How many columns were left out.
    pub(super) hidden: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) label: String,
    pub(super) columns: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) label: String,
    /// Whether a group begins with it.
    pub(super) first: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) version: String,
    pub(super) cells: Vec<Cell>,
}

/// What there is of a version for a Python and a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Absent,
    Published {
        filename: String,
        /// The oldest system it runs on, in short: `2.28`.
        text: String,
        /// How many more files there are.
        more: usize,
        yanked: bool,
    },
    Failed {
        build: String,
        reason: String,
    },
}

/// The matrix of `versions`, with the last builds of those cells that nothing is published for.
pub(super) fn matrix<'a>(
    versions: &[Spelled],
    files: impl IntoIterator<Item = &'a File>,
    builds: &[Ended],
) -> Matrix {
    let rows: BTreeMap<&str, usize> = versions
        .iter()
        .enumerate()
        .map(|(row, version)| (version.text.as_str(), row))
        .collect();
    let mut cells: BTreeMap<(usize, Key), Cell> = BTreeMap::new();
    for file in files {
        let published = &file.published;
        let Some(row) = rows.get(published.version.as_str()) else {
            continue;
        };
        let places = match published.filename.parse::<WheelFilename>() {
            Ok(filename) => places(&filename),
            Err(_) => vec![(
                (Platform::Source, Python::Generic("sdist".to_owned())),
                "yes".to_owned(),
            )],
        };
        for (key, text) in places {
            add(cells.entry((*row, key)).or_insert(Cell::Absent), file, text);
        }
    }
    for build in builds {
        let BuildOutcome::Failed { reason } = &build.record.outcome else {
            continue;
        };
        let row = rows.get(build.record.version.to_string().as_str());
        let (Some(row), Some(key)) = (row, key_of_cell(&build.record.cell)) else {
            continue;
        };
        cells.entry((*row, key)).or_insert_with(|| Cell::Failed {
            build: build.id.clone(),
            reason: reason.clone(),
        });
    }
    let mut keys: Vec<&Key> = cells
        .keys()
        .map(|(_, key)| key)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let hidden = keys.len().saturating_sub(COLUMNS);
    keys.truncate(COLUMNS);
    let mut groups: Vec<Group> = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    let mut last = None;
    for (platform, python) in &keys {
        let first = last != Some(platform);
        last = Some(platform);
        match groups.last_mut() {
            Some(group) if !first => group.columns += 1,
            _ => groups.push(Group {
                label: platform.label(),
                columns: 1,
            }),
        }
        columns.push(Column {
            label: python.label(),
            first,
        });
    }
    let rows = versions
        .iter()
        .enumerate()
        .map(|(row, version)| Row {
            version: version.text.clone(),
            cells: keys
                .iter()
                .map(|key| {
                    cells
                        .get(&(row, (*key).clone()))
                        .cloned()
                        .unwrap_or(Cell::Absent)
                })
                .collect(),
        })
        .collect();
    Matrix {
        groups,
        columns,
        rows,
        hidden,
    }
}

/// Puts a further file into a cell: the last name that is not yanked is the one that is shown.
fn add(cell: &mut Cell, file: &File, text: String) {
    let (more, kept) = match cell {
        Cell::Published { more, yanked, .. } => (*more + 1, !*yanked && file.yanked.is_some()),
        Cell::Absent | Cell::Failed { .. } => (0, false),
    };
    if let (true, Cell::Published { more: counted, .. }) = (kept, &mut *cell) {
        *counted = more;
        return;
    }
    *cell = Cell::Published {
        filename: file.published.filename.clone(),
        text,
        more,
        yanked: file.yanked.is_some(),
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use wheelfarm_build::records::HistoryRecord;
    use wheelfarm_types::Digest;

    use super::*;
    use crate::registry::{Origin, PublishedFile, Yank};

    fn file(filename: &str, version: &str, yanked: bool) -> File {
        File {
            published: Arc::new(PublishedFile {
                filename: filename.into(),
                project: "x".parse().unwrap(),
                version: version.into(),
                blob: Digest::of(filename),
                size: 1,
                uploaded: DateTime::UNIX_EPOCH,
                requires_python: None,
                metadata: None,
                audit: None,
                summary: None,
                origin: Origin::Uploaded,
            }),
            yanked: yanked.then_some(Yank { reason: None }),
        }
    }

    fn version(text: &str) -> Spelled {
        Spelled {
            text: text.into(),
            parsed: text.parse().ok(),
        }
    }

    fn failed(version: &str, cell: &str) -> Ended {
        Ended {
            id: "x.1.a".into(),
            record: Arc::new(HistoryRecord {
                project: "x".parse().unwrap(),
                version: version.parse().unwrap(),
                cell: cell.into(),
                raw_key: Digest::of(""),
                outcome: BuildOutcome::Failed {
                    reason: "no compiler".into(),
                },
                log: Digest::of(""),
                seconds: 1.0,
                finished: 1,
                execution: None,
            }),
        }
    }

    #[test]
    fn wheels_stand_where_they_run() {
        let files = [
            file(
                "x-2-cp311-cp311-manylinux_2_28_x86_64.manylinux_2_26_x86_64.whl",
                "2",
                false,
            ),
            file("x-2-cp313-cp313t-musllinux_1_2_aarch64.whl", "2", false),
            file("x-2-cp39-abi3-manylinux2014_x86_64.whl", "2", false),
            file("x-1-py2.py3-none-any.whl", "1", false),
            file("x-1.tar.gz", "1", false),
        ];
        let builds = [
            failed("1", "cp311-manylinux_2_36_x86_64"),
            failed("2", "cp311-manylinux_2_36_x86_64"),
        ];
        let matrix = matrix(&[version("2"), version("1")], &files, &builds);
        let groups: Vec<_> = matrix
            .groups
            .iter()
            .map(|group| (group.label.as_str(), group.columns))
            .collect();
        assert_eq!(
            groups,
            [
                ("glibc x86_64", 2),
                ("musl aarch64", 1),
                ("any", 1),
                ("source", 1)
            ]
        );
        let columns: Vec<_> = matrix
            .columns
            .iter()
            .map(|column| column.label.as_str())
            .collect();
        assert_eq!(columns, ["3.9+", "3.11", "3.13t", "py2.py3", "sdist"]);
        let two = &matrix.rows[0];
        assert!(matches!(&two.cells[0], Cell::Published { text, .. } if text == "2.17"));
        // A failure is no news where a wheel is there.
        assert!(matches!(&two.cells[1], Cell::Published { text, .. } if text == "2.26"));
        assert_eq!(two.cells[3], Cell::Absent);
        let one = &matrix.rows[1];
        assert!(matches!(&one.cells[1], Cell::Failed { reason, .. } if reason == "no compiler"));
        assert!(matches!(&one.cells[4], Cell::Published { .. }));
    }

    #[test]
    fn of_several_files_the_last_good_one_is_shown() {
        let files = [
            file("x-1-1a-cp311-cp311-manylinux_2_28_x86_64.whl", "1", false),
            file("x-1-2a-cp311-cp311-manylinux_2_28_x86_64.whl", "1", false),
            file("x-1-3a-cp311-cp311-manylinux_2_28_x86_64.whl", "1", true),
        ];
        let matrix = matrix(&[version("1")], &files, &[]);
        let Cell::Published {
            filename,
            more,
            yanked,
            ..
        } = &matrix.rows[0].cells[0]
        else {
            panic!()
        };
        assert!(filename.contains("-2a-"), "{filename}");
        assert_eq!((*more, *yanked), (2, false));
    }

    #[test]
    fn columns_are_bounded() {
        let files: Vec<File> = (0..200)
            .map(|n| file(&format!("x-1-cp3{n}-cp3{n}-any.whl"), "1", false))
            .collect();
        let matrix = matrix(&[version("1")], &files, &[]);
        assert_eq!((matrix.columns.len(), matrix.hidden), (60, 140));
    }
}
