//! The history of builds: a series for each project and cell, with an entry for every build that ended.
//!
//! Records say what a key's outcome is; the history says which keys a project had and when, so that logs are found
//! without a key, a miss is compared with the last hit, and the time of a build is guessed from the times before.

use wheelfarm_store::{Created, Store, StoreError};
use wheelfarm_types::{Digest, ProjectName};

use crate::records::{HistoryRecord, kind};

/// How many builds of one project and cell may end in one second.
const SAME_SECOND: usize = 100;

/// Where an entry of the history is, without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    series: String,
    key: Digest,
    number: u64,
}

impl HistoryEntry {
    /// Names it: the project, when it ended, and the cell. Of letters, digits, `-` and `.` only.
    pub fn id(&self) -> String {
        let project = self.series.rsplit('/').next().unwrap_or_default();
        format!("{project}.{}.{}", self.number, self.key.short())
    }
}

/// The entry that [`HistoryEntry::id`] names.
pub async fn find(store: &Store, id: &str) -> Result<Option<HistoryEntry>, StoreError> {
    let project = id.split('.').next().and_then(|name| name.parse().ok());
    let Some(project) = project else {
        return Ok(None);
    };
    let entries = entries(store, Some(&project)).await?;
    Ok(entries.into_iter().find(|entry| entry.id() == id))
}

/// Adds `record` to the history of its project and cell.
pub async fn append(store: &Store, record: &HistoryRecord) -> Result<(), StoreError> {
    let key = Digest::of(&record.cell);
    for number in (record.finished..).take(SAME_SECOND) {
        let series = series(&record.project);
        if store.append(&series, &key, number, record).await? == Created::New {
            break;
        }
    }
    Ok(())
}

/// The last build of `project` in `cell`, a [`crate::matrix::Cell::id`], whether it succeeded or not.
pub async fn latest(
    store: &Store,
    project: &ProjectName,
    cell: &str,
) -> Result<Option<HistoryRecord>, StoreError> {
    let latest = store.latest(&series(project), &Digest::of(cell)).await?;
    Ok(latest.map(|(_, record)| record))
}

/// All builds, or those of `project`, the last one first. Their records are not read.
pub async fn entries(
    store: &Store,
    project: Option<&ProjectName>,
) -> Result<Vec<HistoryEntry>, StoreError> {
    let kind = project.map_or_else(|| kind::HISTORY.to_owned(), series);
    let mut entries: Vec<_> = store
        .series(&kind)
        .await?
        .into_iter()
        .map(|(series, key, number)| HistoryEntry {
            series,
            key,
            number,
        })
        .collect();
    entries.sort_by(|a, b| {
        let order = b.number.cmp(&a.number);
        order.then_with(|| (&a.series, a.key).cmp(&(&b.series, b.key)))
    });
    Ok(entries)
}

/// The record of an entry; none if it has been removed since.
pub async fn read(
    store: &Store,
    entry: &HistoryEntry,
) -> Result<Option<HistoryRecord>, StoreError> {
    store.entry(&entry.series, &entry.key, entry.number).await
}

/// Project names are of letters, digits and `-`: one is a part of a path as it is.
fn series(project: &ProjectName) -> String {
    format!("{}/{project}", kind::HISTORY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::BuildOutcome;

    fn record(project: &str, cell: &str, finished: u64, outcome: BuildOutcome) -> HistoryRecord {
        HistoryRecord {
            project: project.parse().unwrap(),
            version: "1.0".parse().unwrap(),
            cell: cell.to_owned(),
            raw_key: Digest::of(finished.to_string()),
            outcome,
            log: Digest::of("log"),
            seconds: 2.5,
            finished,
            execution: None,
        }
    }

    #[tokio::test]
    async fn builds_come_back_by_project_and_cell_and_in_order() {
        let store = Store::open("memory:").await.unwrap();
        let failed = BuildOutcome::Failed {
            reason: "its build ended with exit code 1".to_owned(),
        };
        let records = [
            record("lxml", "cp311-manylinux_2_36_x86_64", 100, failed.clone()),
            record(
                "lxml",
                "cp311-manylinux_2_36_x86_64",
                300,
                BuildOutcome::Built,
            ),
            record("lxml", "cp313-manylinux_2_36_x86_64", 200, failed),
            record(
                "lxml-html",
                "cp311-manylinux_2_36_x86_64",
                400,
                BuildOutcome::Built,
            ),
        ];
        for record in &records {
            append(&store, record).await.unwrap();
        }
        let lxml: ProjectName = "lxml".parse().unwrap();
        let found = latest(&store, &lxml, "cp311-manylinux_2_36_x86_64")
            .await
            .unwrap();
        assert_eq!(found.as_ref(), records.get(1));
        assert_eq!(latest(&store, &lxml, "cp39-linux").await.unwrap(), None);
        let mut times = Vec::new();
        for entry in entries(&store, Some(&lxml)).await.unwrap() {
            times.push(read(&store, &entry).await.unwrap().unwrap().finished);
            let found = find(&store, &entry.id()).await.unwrap();
            assert_eq!(found, Some(entry));
        }
        assert_eq!(
            times,
            [300, 200, 100],
            "another project's name begins alike"
        );
        assert_eq!(entries(&store, None).await.unwrap().len(), 4);
        for id in ["", "lxml", "lxml.300.0123", "../lxml.300.x"] {
            assert_eq!(find(&store, id).await.unwrap(), None, "{id}");
        }
    }

    #[tokio::test]
    async fn builds_that_end_in_the_same_second_are_both_kept() {
        let store = Store::open("memory:").await.unwrap();
        for name in ["one", "two"] {
            let mut record = record("lxml", "cp311", 100, BuildOutcome::Built);
            record.log = Digest::of(name);
            append(&store, &record).await.unwrap();
        }
        assert_eq!(entries(&store, None).await.unwrap().len(), 2);
    }
}
