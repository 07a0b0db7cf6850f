//! A user's recipe: what it changes of the one below.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use wheelfarm_types::Requirement;

use super::{ConfigValue, Patch, PatchError, PatchReader, Recipe, Selector, Vendoring, size};
use crate::environment::PackageManager;

/// Like [`Recipe`], where a key that is not written leaves what is below. Tables (`system`, `env`, `config-settings`)
/// are laid over key by key; lists and plain values replace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs, reason = "see Recipe")]
pub struct RecipeOverride {
    pub system: Option<BTreeMap<PackageManager, Vec<String>>>,
    pub env: Option<BTreeMap<String, String>>,
    pub config_settings: Option<BTreeMap<String, ConfigValue>>,
    pub build_requires: Option<Vec<Requirement>>,
    pub patches: Option<Vec<String>>,
    pub vendor: Option<Vendoring>,
    pub exclude: Option<Vec<String>>,
    pub include: Option<Vec<String>>,
    pub network: Option<bool>,
    pub test: Option<String>,
    pub cores: Option<NonZeroU32>,
    #[serde(default, deserialize_with = "size::optional")]
    pub memory: Option<u64>,
}

impl RecipeOverride {
    /// The patches that it names; none if it does not speak of patches.
    pub(super) fn read_patches(
        &self,
        read: PatchReader<'_>,
    ) -> Result<Option<Vec<Patch>>, PatchError> {
        let names = self.patches.as_ref();
        names
            .map(|names| names.iter().map(|name| Patch::read(name, read)).collect())
            .transpose()
    }

    /// Changes `recipe`; `patches` are those that [`Self::patches`] names.
    pub(super) fn apply(self, patches: Option<Vec<Patch>>, recipe: &mut Recipe) {
        fn lay<K: Ord, V>(below: &mut BTreeMap<K, V>, over: Option<BTreeMap<K, V>>) {
            below.extend(over.unwrap_or_default());
        }
        fn set<T>(below: &mut T, over: Option<T>) {
            if let Some(over) = over {
                *below = over;
            }
        }
        lay(&mut recipe.system, self.system);
        lay(&mut recipe.env, self.env);
        lay(&mut recipe.config_settings, self.config_settings);
        set(&mut recipe.build_requires, self.build_requires);
        set(&mut recipe.patches, patches);
        set(&mut recipe.vendor, self.vendor);
        set(&mut recipe.exclude, self.exclude);
        set(&mut recipe.include, self.include);
        set(&mut recipe.network, self.network);
        recipe.test = self.test.or(recipe.test.take());
        recipe.cores = self.cores.or(recipe.cores);
        recipe.memory = self.memory.or(recipe.memory);
    }
}

/// One of `[[overrides]]`: a recipe for what it selects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Override {
    /// For which projects and cells.
    pub select: Selector,
    /// What it changes.
    #[serde(flatten)]
    pub recipe: RecipeOverride,
}

impl<'de> Deserialize<'de> for Override {
    /// By hand, since serde would not refuse unknown keys in a flattened struct.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(deserializer)?;
        let select = table
            .remove("select")
            .ok_or_else(|| D::Error::missing_field("select"))?;
        Ok(Self {
            select: select.try_into().map_err(D::Error::custom)?,
            recipe: table.try_into().map_err(D::Error::custom)?,
        })
    }
}
