//! Recipes: what a project needs to be built. Data, built in and the user's.
//!
//! Three layers, the later ones over the earlier: the recipes that are compiled in, the user's `[package.<name>]`, and
//! the user's `[[overrides]]` that select the project and the cell.

mod layer;
mod patches;
mod selector;
mod size;

pub use layer::{Override, RecipeOverride};
pub use patches::{MAX_PATCH, Patch, PatchError, PatchReader};
pub use selector::{Selector, SelectorError};
pub use size::{SizeError, parse_size};

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use wheelfarm_types::{ProjectName, Requirement};

use crate::environment::PackageManager;
use crate::matrix::Cell;
use crate::pipeline::Claim;

/// The tables of all files: a project that stands in two of them is an error, which a test would find.
const DATA: &str = concat!(
    include_str!("databases.toml"),
    include_str!("desktop.toml"),
    include_str!("science.toml"),
    include_str!("security.toml"),
    include_str!("text.toml"),
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
    /// Changes of the source, in this order.
    #[serde(skip_deserializing)]
    pub patches: Vec<Patch>,
    /// Where the shared libraries that the wheel needs come from.
    pub vendor: Vendoring,
    /// Libraries never to vendor: sonames, with `*` and `?`.
    pub exclude: Vec<String>,
    /// Libraries to vendor although no object is linked to them, as the code that loads them names them.
    pub include: Vec<String>,
    /// Whether the build may use the network. Its records are marked.
    pub network: bool,
    /// A command that proves the wheel in a bare runtime.
    pub test: Option<String>,
    /// Processor cores that the build fills: so many slots it takes.
    pub cores: Option<NonZeroU32>,
    /// Memory of the build in bytes: what is kept free for it, and its limit.
    #[serde(deserialize_with = "size::optional")]
    pub memory: Option<u64>,
}

/// Where the shared libraries that a wheel needs come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendoring {
    /// They are put into the wheel.
    #[default]
    Vendor,
    /// The system that it runs on has them: the report says which packages that takes.
    System,
}

/// The value of a config setting: one string, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the two shapes PEP 517 allows")]
pub enum ConfigValue {
    One(String),
    Several(Vec<String>),
}

/// Recipes by project, and what changes them for some cells.
#[derive(Debug, Clone, Default)]
pub struct Recipes {
    projects: BTreeMap<ProjectName, Recipe>,
    overrides: Vec<Selected>,
}

/// An override whose patches were read.
#[derive(Debug, Clone)]
struct Selected {
    over: Override,
    patches: Option<Vec<Patch>>,
}

impl Recipes {
    /// The recipes that are compiled in.
    ///
    /// # Panics
    /// Never: a test parses the data.
    pub fn builtin() -> Self {
        Self {
            projects: toml::from_str(DATA).expect("the data is checked by a test"),
            overrides: Vec::new(),
        }
    }

    /// Lays the user's recipes over these: keys that are not written there stay as they are here.
    pub fn overlay(
        &mut self,
        user: BTreeMap<ProjectName, RecipeOverride>,
        read: PatchReader<'_>,
    ) -> Result<(), PatchError> {
        for (name, over) in user {
            let patches = over.read_patches(read)?;
            over.apply(patches, self.projects.entry(name).or_default());
        }
        Ok(())
    }

    /// Lays `overrides` over everything before, in their order.
    pub fn override_selected(
        &mut self,
        overrides: Vec<Override>,
        read: PatchReader<'_>,
    ) -> Result<(), PatchError> {
        for over in overrides {
            let patches = over.recipe.read_patches(read)?;
            self.overrides.push(Selected { over, patches });
        }
        Ok(())
    }

    /// The recipe for `project` in `cell`; an empty one if there is none.
    pub fn get(&self, project: &ProjectName, cell: &Cell) -> Recipe {
        let mut recipe = self.of(project);
        if !self.overrides.is_empty() {
            let cell = cell.id();
            for Selected { over, patches } in &self.overrides {
                if over.select.matches(project, &cell) {
                    over.recipe.clone().apply(patches.clone(), &mut recipe);
                }
            }
        }
        recipe
    }

    /// The recipe for `project`, where no override selects it.
    pub fn of(&self, project: &ProjectName) -> Recipe {
        self.projects.get(project).cloned().unwrap_or_default()
    }
}

impl Recipe {
    /// What a build takes of the machine.
    pub fn claim(&self) -> Claim {
        Claim {
            cores: self.cores.map(NonZeroU32::get),
            memory: self.memory,
            ..Claim::default()
        }
    }

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
        recipes.overlay(user, &no_patch).unwrap();
        let recipe = recipes.of(&"pyyaml".parse().unwrap());
        assert_eq!(recipe.packages(PackageManager::Apt), [""; 0]);
        assert_eq!(recipe.packages(PackageManager::Apk), ["yaml-dev"]);
        assert!(recipe.test.is_some());
        assert_eq!(recipe.include, [""; 0]);
        let user = toml::from_str("[pyyaml]\ninclude = [\"libyaml-0.so.2\"]").unwrap();
        recipes.overlay(user, &no_patch).unwrap();
        let recipe = recipes.of(&"pyyaml".parse().unwrap());
        assert_eq!(recipe.include, ["libyaml-0.so.2"]);
        assert!(toml::from_str::<RecipeOverride>("sytem.apt = []").is_err());
    }

    #[test]
    fn overrides_select_by_project_and_cell_and_the_last_wins() {
        let mut recipes = Recipes::default();
        let user = toml::from_str("[x]\nenv = { A = \"1\", B = \"1\" }\nexclude = [\"a\", \"b\"]")
            .unwrap();
        recipes.overlay(user, &no_patch).unwrap();
        let overrides: BTreeMap<String, Vec<Override>> = toml::from_str(
            r#"
            [[overrides]]
            select = "x / cp311-*"
            env = { B = "2" }
            exclude = ["c"]
            memory = "2GiB"
            [[overrides]]
            select = "*-manylinux*"
            env = { B = "3" }
            "#,
        )
        .unwrap();
        recipes
            .override_selected(overrides.into_values().next().unwrap(), &no_patch)
            .unwrap();
        let (x, y) = ("x".parse().unwrap(), "y".parse().unwrap());
        let recipe = recipes.get(&x, &cell("3.11"));
        assert_eq!(recipe.env.get("A").unwrap(), "1");
        assert_eq!(recipe.env.get("B").unwrap(), "3");
        assert_eq!(recipe.exclude, ["c"]);
        assert_eq!(recipe.memory, Some(2 << 30));
        let recipe = recipes.get(&x, &cell("3.13"));
        assert_eq!(recipe.exclude, ["a", "b"]);
        assert_eq!(recipe.memory, None);
        assert_eq!(recipes.get(&y, &cell("3.11")).env.len(), 1);
        assert_eq!(recipes.of(&y), Recipe::default());
    }

    #[test]
    fn patches_are_read_once_and_keep_their_order() {
        let mut recipes = Recipes::default();
        let user = toml::from_str("[x]\npatches = [\"b.patch\", \"a.patch\"]").unwrap();
        let read = |name: &str| Ok(format!("--- {name}").into_bytes());
        recipes.overlay(user, &read).unwrap();
        let recipe = recipes.of(&"x".parse().unwrap());
        let names: Vec<_> = recipe
            .patches
            .iter()
            .map(|patch| patch.name.as_str())
            .collect();
        assert_eq!(names, ["b.patch", "a.patch"]);
        assert_eq!(recipe.patches.first().unwrap().content, "--- b.patch");
        let user = toml::from_str("[x]\npatches = [\"c.patch\"]").unwrap();
        let error = recipes.overlay(user, &no_patch).unwrap_err();
        assert!(error.to_string().contains("`c.patch`"), "{error}");
        let user = toml::from_str("[x]\npatches = [\"c.patch\"]").unwrap();
        let large = |_: &str| Ok(vec![0; MAX_PATCH + 1]);
        assert!(recipes.overlay(user, &large).is_err());
    }

    fn no_patch(_: &str) -> std::io::Result<Vec<u8>> {
        Err(std::io::Error::from(std::io::ErrorKind::NotFound))
    }

    fn cell(python: &str) -> Cell {
        let catalogue = crate::catalogue::Catalogue::builtin(wheelfarm_types::Arch::X86_64);
        let image = catalogue.get("debian-12").unwrap().clone();
        Cell {
            target: image.target,
            image,
            python: python.parse().unwrap(),
        }
    }
}
