//! What many jobs of one run ask for and does not change meanwhile: looked up once.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use wheelfarm_types::{Digest, PythonVersion};

use super::requires::BuildRequires;
use crate::environment::EnvironmentRecord;

/// An environment's record, with the digests that keys are made of: its manifest has hundreds of packages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pinned {
    record: EnvironmentRecord,
    /// [`crate::environment::EnvironmentRecipe::digest`].
    pub(super) recipe_digest: Digest,
    /// [`EnvironmentRecord::manifest_digest`].
    pub(super) manifest_digest: Digest,
}

impl Pinned {
    pub(super) fn new(record: EnvironmentRecord) -> Self {
        Self {
            recipe_digest: record.recipe.digest(),
            manifest_digest: record.manifest_digest(),
            record,
        }
    }
}

impl Deref for Pinned {
    type Target = EnvironmentRecord;

    fn deref(&self) -> &EnvironmentRecord {
        &self.record
    }
}

/// Build requirements, the Python and the builder image that they are for.
pub(super) type Wanted = (Vec<String>, PythonVersion, String);

/// A table that is filled while it is used.
#[derive(Debug)]
pub(super) struct Table<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Table<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(key).cloned()
    }

    /// Sets what is known from now on; what was known before.
    pub(super) fn set(&self, key: K, value: V) -> Option<V> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert(key, value)
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.clear();
    }
}

/// What was looked up in this run.
#[derive(Debug, Default)]
pub struct Memo {
    /// Contents of builder images, by name and architecture.
    pub(super) images: Table<Digest, Digest>,
    /// Environments by recipe; changed when one is made anew.
    pub(super) environments: Table<Digest, Arc<Pinned>>,
    /// Wheels of build requirements that all are there.
    pub(super) requires: Table<Wanted, Arc<BuildRequires>>,
}
