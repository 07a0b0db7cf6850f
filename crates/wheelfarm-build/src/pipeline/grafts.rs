//! Grafted libraries in the store: one that twenty wheels vendor is edited and compressed once, on any machine.

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use wheelfarm_repair::{GraftCache, Make, RepairError};
use wheelfarm_store::Store;
use wheelfarm_types::Digest;
use wheelfarm_wheel::Deflated;

use crate::records::kind;

/// Larger libraries, in bytes, are made again.
const LIMIT: u64 = 4 << 30;

/// Looks in the store and keeps there what it did not find. Used on threads that may block.
pub(super) struct StoredGrafts {
    store: Store,
    runtime: Handle,
}

/// What is kept under a library's key.
#[derive(Debug, Serialize, Deserialize)]
struct GraftRecord {
    /// The blob with the library in [`Deflated::to_bytes`]' form.
    library: Digest,
}

impl StoredGrafts {
    /// For the runtime that this is called in.
    pub(super) fn of(store: &Store) -> Self {
        Self {
            store: store.clone(),
            runtime: Handle::current(),
        }
    }

    async fn get(&self, key: &Digest) -> Option<Deflated> {
        let record: GraftRecord = self.store.record(kind::GRAFT, key).await.ok()??;
        let bytes = self.store.get_up_to(&record.library, LIMIT).await.ok()?;
        Deflated::from_bytes(&bytes)
    }

    async fn put(&self, key: &Digest, library: &Deflated) -> Option<()> {
        let library = self.store.put(library.to_bytes().into()).await.ok()?;
        let record = GraftRecord { library };
        self.store
            .create_record(kind::GRAFT, key, &record)
            .await
            .ok()?;
        Some(())
    }
}

impl GraftCache for StoredGrafts {
    /// A store that cannot be read or written here costs time, not the wheel: its own blob comes after, and says
    /// what is wrong.
    fn get_or_make(&self, key: &Digest, make: Make<'_>) -> Result<Deflated, RepairError> {
        if let Some(library) = self.runtime.block_on(self.get(key)) {
            return Ok(library);
        }
        let library = make()?;
        let _kept = self.runtime.block_on(self.put(key, &library));
        Ok(library)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_library_is_made_once_per_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_str().unwrap()).await.unwrap();
        let key = Digest::of("key");
        let made = Deflated::of("library ".repeat(100));
        let first = StoredGrafts::of(&store);
        let second = StoredGrafts::of(&store);
        tokio::task::spawn_blocking(move || {
            let given = first.get_or_make(&key, &|| Ok(made.clone()));
            assert_eq!(given.ok(), Some(made.clone()));
            let never = || -> Result<Deflated, RepairError> { panic!("it is in the store") };
            assert_eq!(second.get_or_make(&key, &never).ok(), Some(made));
        })
        .await
        .unwrap();
    }
}
