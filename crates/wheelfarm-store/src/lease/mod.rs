//! Leases: one process at a time makes a thing.
//!
//! In a directory a lease is a lock of a file, which the kernel gives up when its process dies, however it dies. In a
//! remote store it is an object that says until when it holds; its owner writes it again in time, and who finds it
//! expired takes it over. A lease protects work, not data: what two processes make at once in spite of everything is
//! the same, and the first record wins.

mod file;
mod object;

use wheelfarm_types::Digest;

use crate::{Store, StoreError};

/// Where leases lie: in a directory beside the objects, never among them.
const DIRECTORY: &str = "leases";

/// The right to make something, as long as it lives.
#[derive(Debug)]
pub struct Lease {
    _held: Held,
}

/// What is given up when it is dropped.
#[derive(Debug)]
enum Held {
    /// Nothing: a store in memory has no other process to wait for.
    Nothing,
    File {
        _lock: file::Lock,
    },
    Object {
        _renewed: object::Renewed,
    },
}

impl Store {
    /// Takes the lease on `what`, or returns none while another process has it. Not for two tasks of one process
    /// without a lock of their own.
    pub async fn try_lease(&self, what: &Digest) -> Result<Option<Lease>, StoreError> {
        let held = if let Some(directory) = self.directory() {
            let directory = directory.join(DIRECTORY);
            let path = directory.join(format!("{what}.lock"));
            file::try_lock(&directory, &path)
                .map_err(|error| StoreError::from_io(&error, &path.display().to_string()))?
                .map(|lock| Held::File { _lock: lock })
        } else if self.is_remote() {
            object::try_take(self, what)
                .await?
                .map(|renewed| Held::Object { _renewed: renewed })
        } else {
            Some(Held::Nothing)
        };
        Ok(held.map(|held| Lease { _held: held }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let open = || async { Store::open(dir.path().to_str().unwrap()).await.unwrap() };
        let (one, two) = (open().await, open().await);
        let what = Digest::of("what");
        let lease = one.try_lease(&what).await.unwrap().unwrap();
        assert!(two.try_lease(&what).await.unwrap().is_none());
        let other = two.try_lease(&Digest::of("other")).await.unwrap();
        assert!(other.is_some());
        drop((lease, other));
        let files = || {
            fs_err::read_dir(dir.path().join(DIRECTORY))
                .unwrap()
                .count()
        };
        assert_eq!(files(), 0);
        // A file that a killed process left is nobody's.
        fs_err::write(dir.path().join(format!("{DIRECTORY}/{what}.lock")), "").unwrap();
        assert!(two.try_lease(&what).await.unwrap().is_some());
        assert_eq!(files(), 0);
    }

    #[tokio::test]
    async fn a_store_in_memory_is_nobody_elses() {
        let store = Store::open("memory:").await.unwrap();
        assert!(store.try_lease(&Digest::of("x")).await.unwrap().is_some());
    }
}
