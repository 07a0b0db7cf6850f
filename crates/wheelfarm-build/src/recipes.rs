//! Recipes: what a project needs to be built. Data, built in and the user's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wheelfarm_types::{ProjectName, Requirement};

use crate::environment::PackageManager;
use crate::matrix::Cell;

/// The tables of all files: a project that stands in two of them is an error, which a test would find.
const DATA: &str = concat!(
    include_str!("recipes/databases.toml"),
    include_str!("recipes/desktop.toml"),
    include_str!("recipes/science.toml"),
    include_str!("recipes/security.toml"),
    include_str!("recipes/text.toml"),
);

/// What one project needs; the keys of `[package.<name>]` in `wheelfarm.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Recipe {
    /// System packages by package manager.
    pub system: BTreeMap<PackageManager, Vec<String>>,
    /// Environment variables of the build.
    pub env: BTreeMap<String, String>,
    /// Config settings for the build back end (PEP 517).
    pub config_settings: BTreeMap<String, ConfigValue>,
    /// Build requirements beside those the project states.
    pub build_requires: Vec<Requirement>,
    /// Libraries never to vendor: sonames, with `*` and `?`.
    pub exclude: Vec<String>,
    /// Libraries to vendor although no object is linked to them, as the code that loads them names them.
    pub include: Vec<String>,
    /// A command that proves the wheel in a bare runtime.
    pub test: Option<String>,
    /// Processor cores of the build.
    pub cores: Option<f64>,
    /// Memory of the build in bytes.
    pub memory: Option<u64>,
}

/// The value of a config setting: one string, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the two shapes PEP 517 allows")]
pub enum ConfigValue {
    One(String),
    Several(Vec<String>),
}

/// Recipes by project.
#[derive(Debug, Clone, Default)]
pub struct Recipes(BTreeMap<ProjectName, Recipe>);

impl Recipes {
    /// The recipes that are compiled in.
    ///
    /// # Panics
    /// Never: a test parses the data.
    pub fn builtin() -> Self {
        Self(toml::from_str(DATA).expect("the data is checked by a test"))
    }

    /// Lays the user's recipes over these: each key that is set there replaces the one here.
    pub fn overlay(&mut self, user: BTreeMap<ProjectName, RecipeOverride>) {
        for (name, over) in user {
            over.apply(self.0.entry(name).or_default());
        }
    }

    /// The recipe for `project` in `cell`; an empty one if there is none.
    pub fn get(&self, project: &ProjectName, _cell: &Cell) -> Recipe {
        self.of(project)
    }

    fn of(&self, project: &ProjectName) -> Recipe {
        self.0.get(project).cloned().unwrap_or_default()
    }
}

/// A user's recipe: like [`Recipe`], where a key that is not written leaves the built-in one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs, reason = "see Recipe")]
pub struct RecipeOverride {
    pub system: Option<BTreeMap<PackageManager, Vec<String>>>,
    pub env: Option<BTreeMap<String, String>>,
    pub config_settings: Option<BTreeMap<String, ConfigValue>>,
    pub build_requires: Option<Vec<Requirement>>,
    pub exclude: Option<Vec<String>>,
    pub include: Option<Vec<String>>,
    pub test: Option<String>,
    pub cores: Option<f64>,
    pub memory: Option<u64>,
}

impl RecipeOverride {
    fn apply(self, recipe: &mut Recipe) {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        if let Some(system) = self.system {
            recipe.system.extend(system);
        }
        set(&mut recipe.env, self.env);
        set(&mut recipe.config_settings, self.config_settings);
        set(&mut recipe.build_requires, self.build_requires);
        set(&mut recipe.exclude, self.exclude);
        set(&mut recipe.include, self.include);
        recipe.test = self.test.or(recipe.test.take());
        recipe.cores = self.cores.or(recipe.cores);
        recipe.memory = self.memory.or(recipe.memory);
    }
}

impl Recipe {
    /// System packages for `manager`, sorted, without duplicates.
    pub fn packages(&self, manager: PackageManager) -> Vec<String> {
        let mut packages = self.system.get(&manager).cloned().unwrap_or_default();
        packages.sort();
        packages.dedup();
        packages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_parses_and_names_are_normalized() {
        let recipes = Recipes::builtin();
        let psycopg2 = recipes.of(&"Psycopg2".parse().unwrap());
        assert_eq!(psycopg2.packages(PackageManager::Apt), ["libpq-dev"]);
        assert_eq!(
            recipes.of(&"unheard-of".parse().unwrap()),
            Recipe::default()
        );
        let keys: toml::Table = toml::from_str(DATA).unwrap();
        for key in keys.keys() {
            assert_eq!(key.parse::<ProjectName>().unwrap().as_str(), key);
        }
    }

    #[test]
    fn the_user_replaces_what_is_written_only() {
        let mut recipes = Recipes::builtin();
        let user = toml::from_str("[pyyaml]\nsystem.apt = []\nenv = { A = \"1\" }").unwrap();
        recipes.overlay(user);
        let recipe = recipes.of(&"pyyaml".parse().unwrap());
        assert_eq!(recipe.packages(PackageManager::Apt), [""; 0]);
        assert_eq!(recipe.packages(PackageManager::Apk), ["yaml-dev"]);
        assert!(recipe.test.is_some());
        assert_eq!(recipe.include, [""; 0]);
        let user = toml::from_str("[pyyaml]\ninclude = [\"libyaml-0.so.2\"]").unwrap();
        recipes.overlay(user);
        let recipe = recipes.of(&"pyyaml".parse().unwrap());
        assert_eq!(recipe.include, ["libyaml-0.so.2"]);
        assert!(toml::from_str::<RecipeOverride>("sytem.apt = []").is_err());
    }
}
