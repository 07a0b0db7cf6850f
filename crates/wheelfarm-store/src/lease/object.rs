//! Leases as objects that expire.
//!
//! An owner has `leases/<what>/<number>.json`, which says until when the lease holds; it alone writes it again. Who
//! finds the highest number expired creates the next one. So all that is asked of a service is that an object is
//! created once: not all of them can compare and replace.

use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use wheelfarm_types::Digest;

use crate::lease::DIRECTORY;
use crate::store::to_json;
use crate::{Created, Store, StoreError};

/// Seconds that a lease holds without being renewed. Clocks may differ by less than half of it.
const HOLDS: u64 = 60;
/// How often its owner renews it.
const RENEWED_EVERY: Duration = Duration::from_secs(HOLDS / 4);

/// What a lease's object says.
#[derive(Debug, Serialize, Deserialize)]
struct Text {
    /// Until when it holds, in seconds since 1970.
    until: u64,
}

/// A lease that is renewed until it is dropped.
#[derive(Debug)]
pub(super) struct Renewed {
    store: Store,
    path: Path,
    renewing: JoinHandle<()>,
}

/// Takes the lease on `what`, if nobody has it or it has expired.
pub(super) async fn try_take(store: &Store, what: &Digest) -> Result<Option<Renewed>, StoreError> {
    let prefix = Path::from(format!("{DIRECTORY}/{what}"));
    let others: Vec<(u64, Path)> = store
        .objects()
        .list(Some(&prefix))
        .map_ok(|meta| meta.location)
        .try_filter_map(async |path| Ok(number(&path).map(|number| (number, path))))
        .try_collect()
        .await
        .map_err(|error| StoreError::from_object_store(&error, prefix.as_ref()))?;
    let last = others.iter().max();
    if let Some((_, path)) = last {
        // One that was given up in between, or cannot be read, is nobody's.
        let text = store.read(path).await?.unwrap_or_default();
        let until = serde_json::from_slice::<Text>(&text).map_or(0, |text| text.until);
        if (store.clock)() < until {
            return Ok(None);
        }
    }
    let number = last.map_or(0, |(number, _)| *number) + 1;
    let path = prefix.join(format!("{number:012}.json"));
    let text = to_json(&until(store), &path)?;
    if store.create(&path, text).await? == Created::Existed {
        return Ok(None);
    }
    for (_, expired) in &others {
        // One that stays is passed over: it is not the highest.
        store.objects().delete(expired).await.ok();
    }
    let renewing = tokio::spawn(renew(store.clone(), path.clone()));
    Ok(Some(Renewed {
        store: store.clone(),
        path,
        renewing,
    }))
}

fn number(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

fn until(store: &Store) -> Text {
    Text {
        until: (store.clock)() + HOLDS,
    }
}

/// Until it is stopped. A failure is tried again the next time: there is time for some.
async fn renew(store: Store, path: Path) {
    loop {
        tokio::time::sleep(RENEWED_EVERY).await;
        if let Ok(text) = to_json(&until(&store), &path) {
            let mode = PutMode::Overwrite.into();
            store
                .objects()
                .put_opts(&path, text.into(), mode)
                .await
                .ok();
        }
    }
}

impl Drop for Renewed {
    fn drop(&mut self) {
        self.renewing.abort();
        let (store, path) = (self.store.clone(), self.path.clone());
        // Where nothing runs any more it expires.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { store.objects().delete(&path).await.ok() });
        }
    }
}
