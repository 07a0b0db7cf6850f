//! What the farm's records in the store say of builds.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use wheelfarm_build::history::{self, HistoryEntry};
use wheelfarm_build::records::HistoryRecord;
use wheelfarm_store::StoreError;
use wheelfarm_types::ProjectName;

use super::viewer::Viewer;
use crate::registry::Scope;
use crate::{App, Problem};

/// How many records of builds are remembered.
const REMEMBERED: usize = 5000;
/// How many are read at the same time.
const AT_ONCE: usize = 16;
/// How many builds of a project are looked at for its matrix.
const RECENT: usize = 400;

/// Records of builds that were read before; they never change.
#[derive(Default)]
pub(super) struct Remembered(Mutex<HashMap<String, Arc<HistoryRecord>>>);

/// A build that ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// Names it in addresses.
    pub(super) id: String,
    pub(super) record: Arc<HistoryRecord>,
}

/// Logs and failures are of no channel, so they are for those who may read all of them. Refuses anybody else.
pub(super) fn may_see(app: &App, viewer: &Viewer) -> Result<(), Problem> {
    let private = app
        .settings
        .channels
        .iter()
        .filter(|(_, settings)| settings.private);
    for (channel, _) in private {
        viewer.caller.may(app, Scope::Read, channel)?;
    }
    Ok(())
}

/// Builds of all projects or of one, the last one first: at most `most`, after `skip`; and how many there are.
pub(super) async fn builds(
    app: &App,
    project: Option<&ProjectName>,
    skip: usize,
    most: usize,
) -> Result<(Vec<Ended>, usize), StoreError> {
    let entries = history::entries(app.registry.store(), project).await?;
    let total = entries.len();
    let wanted: Vec<HistoryEntry> = entries.into_iter().skip(skip).take(most).collect();
    Ok((read(app, wanted).await?, total))
}

/// The last build of every version and cell of a project, as far as its last some hundred builds say.
pub(super) async fn last_builds(
    app: &App,
    project: &ProjectName,
) -> Result<Vec<Ended>, StoreError> {
    let (mut builds, _) = builds(app, Some(project), 0, RECENT).await?;
    let mut seen = BTreeSet::new();
    builds.retain(|build| seen.insert((build.record.version.clone(), build.record.cell.clone())));
    Ok(builds)
}

/// The build that an address names.
pub(super) async fn build(app: &App, id: &str) -> Result<Option<Ended>, StoreError> {
    match history::find(app.registry.store(), id).await? {
        Some(entry) => Ok(read(app, vec![entry]).await?.pop()),
        None => Ok(None),
    }
}

async fn read(app: &App, entries: Vec<HistoryEntry>) -> Result<Vec<Ended>, StoreError> {
    let read = entries.into_iter().map(|entry| async move {
        let id = entry.id();
        let known = &app.desk.builds.0;
        if let Some(record) = known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
        {
            return Ok(Some(Ended {
                record: Arc::clone(record),
                id,
            }));
        }
        let Some(record) = history::read(app.registry.store(), &entry).await? else {
            return Ok(None);
        };
        let record = Arc::new(record);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(id.clone(), Arc::clone(&record));
        Ok(Some(Ended { id, record }))
    });
    let found: Vec<Option<Ended>> = futures::stream::iter(read)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}
