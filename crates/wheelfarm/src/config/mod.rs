//! The configuration: `wheelfarm.toml`, or `[tool.wheelfarm]` of `pyproject.toml`. docs/configuration.md explains its
//! keys, `schema.json` lists them; a test compares the two with the types here.

mod document;
mod index;
mod keys;
mod remote;
mod selectors;
mod upstream;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wheelfarm_build::recipes::{Override, RecipeOverride, Recipes};
use wheelfarm_types::{ProjectName, PythonVersion, Target};

pub(crate) use self::index::Index;
pub(crate) use self::keys::SCHEMA;
pub(crate) use self::remote::{ImageModeName, InputsName, Remote};
pub(crate) use self::upstream::Upstream;
pub(crate) use self::values::{ExecutorChoice, Seconds};
use crate::cli::GlobalArgs;
use crate::exit::Failure;

/// The whole configuration.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) farm: Farm,
    pub(crate) package: BTreeMap<ProjectName, RecipeOverride>,
    pub(crate) overrides: Vec<Override>,
    pub(crate) index: Index,
    pub(crate) remote: Remote,
    /// What relative paths of the file are relative to.
    #[serde(skip)]
    directory: PathBuf,
}

/// `[farm]`. Paths are as they are to be opened: relative ones of the file were joined with its directory.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Farm {
    pub(crate) requirements: Vec<PathBuf>,
    pub(crate) constraints: Vec<PathBuf>,
    pub(crate) extras: Vec<ProjectName>,
    pub(crate) groups: Vec<ProjectName>,
    pub(crate) python: Vec<PythonVersion>,
    pub(crate) targets: Vec<Target>,
    pub(crate) images: Vec<String>,
    pub(crate) store: Option<String>,
    pub(crate) executor: Option<ExecutorChoice>,
    pub(crate) from_source: Vec<String>,
    pub(crate) only_upstream: Vec<String>,
    pub(crate) timeout: Option<Seconds>,
    pub(crate) failure_expiry: Option<Seconds>,
    pub(crate) compiler_cache: bool,
    pub(crate) jobs: Option<NonZeroUsize>,
    pub(crate) provenance: bool,
    pub(crate) sign_key: Option<PathBuf>,
}

impl Config {
    /// Reads the file that `--config` names, else `wheelfarm.toml` or `pyproject.toml` of the current directory if
    /// it is there and speaks of us; lays what `--set` says over it.
    pub(crate) fn load(global: &GlobalArgs) -> Result<Self, Failure> {
        let document = document::read(global.config.as_deref())?;
        let mut config: Self = document.typed(&global.set)?;
        document.directory().clone_into(&mut config.directory);
        let directory = &config.directory;
        for path in config
            .farm
            .requirements
            .iter_mut()
            .chain(&mut config.farm.constraints)
            .chain(&mut config.farm.sign_key)
        {
            *path = directory.join(&path);
        }
        if let Some(store) = &mut config.farm.store
            && !store.contains("://")
        {
            *store = directory.join(&store).display().to_string();
        }
        config.remote.join(directory);
        if let Some(executor) = &global.executor {
            config.farm.executor = Some(*executor);
        }
        if let Some(endpoint) = &global.endpoint {
            config.remote.endpoint = Some(endpoint.clone());
        }
        selectors::check(&config)?;
        Ok(config)
    }

    /// The built-in recipes with this configuration's laid over them.
    pub(crate) fn recipes(&self) -> Result<Recipes, Failure> {
        let read = |name: &str| fs_err::read(self.directory.join(name));
        let mut recipes = Recipes::builtin();
        recipes
            .overlay(self.package.clone(), &read)
            .and_then(|()| recipes.override_selected(self.overrides.clone(), &read))
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(recipes)
    }

    /// What of it is for none of the projects and cells that a run of everything met, in words.
    pub(crate) fn unused(&self, met: &BTreeSet<(ProjectName, String)>) -> Vec<String> {
        selectors::unused(self, met)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn global(config: Option<PathBuf>, set: &[&str]) -> GlobalArgs {
        use clap::Parser as _;
        let mut line = vec![
            "wheelfarm".to_owned(),
            "images".to_owned(),
            "list".to_owned(),
        ];
        line.extend(config.map(|path| format!("--config={}", path.display())));
        line.extend(set.iter().map(|set| format!("--set={set}")));
        crate::cli::Cli::parse_from(line).global
    }

    fn load(name: &str, text: &str, set: &[&str]) -> Result<(Config, PathBuf), String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs_err::write(&path, text).unwrap();
        Config::load(&global(Some(path), set))
            .map(|config| (config, directory.path().to_owned()))
            .map_err(|failure| failure.message)
    }

    const TEXT: &str = r#"
        [farm]
        requirements = ["requirements.txt"]
        python = ["3.11", "3.13"]
        store = "kept"
        timeout = "30m"
        executor = "docker"
        [package.psycopg2]
        memory = "2GiB"
        cores = 2
        [[overrides]]
        select = "psycopg2 / cp313-*"
        env = { CFLAGS = "-O3" }
    "#;

    #[test]
    fn a_file_of_its_own() {
        let (config, directory) = load("wheelfarm.toml", TEXT, &[]).unwrap();
        assert_eq!(
            config.farm.requirements,
            [directory.join("requirements.txt")]
        );
        assert_eq!(
            config.farm.store,
            Some(directory.join("kept").display().to_string())
        );
        assert_eq!(config.farm.timeout.map(Seconds::number), Some(1800));
        let recipe = &config.package[&"psycopg2".parse().unwrap()];
        assert_eq!(
            (recipe.memory, recipe.cores),
            (Some(2 << 30), NonZeroU32::new(2))
        );
        assert_eq!(config.overrides.len(), 1);
    }

    #[test]
    fn a_table_of_pyproject() {
        let text =
            "[project]\nname = \"x\"\n[tool.wheelfarm.farm]\npython = [\"3.13\"]\njobs = 3\n";
        let (config, _) = load("pyproject.toml", text, &[]).unwrap();
        assert_eq!(config.farm.python, ["3.13".parse().unwrap()]);
        assert_eq!(config.farm.jobs.map(NonZeroUsize::get), Some(3));
        let (config, _) = load("pyproject.toml", "[project]\nname = \"x\"\n", &[]).unwrap();
        assert_eq!(config.farm.python, []);
        let error = load("pyproject.toml", "[tool.wheelfarm.farm]\npyton = []\n", &[]).unwrap_err();
        assert!(
            error.contains("`pyton` in [tool.wheelfarm.farm]"),
            "{error}"
        );
    }

    #[test]
    fn values_on_the_command_line() {
        let set = [
            "farm.jobs=2",
            "package.psycopg2.memory=1GiB",
            "package.psycopg2.env.CFLAGS=-O0 -g",
            "package.lxml.system.apt=[\"libxml2-dev\"]",
        ];
        let (config, _) = load("wheelfarm.toml", TEXT, &set).unwrap();
        let recipe = &config.package[&"psycopg2".parse().unwrap()];
        assert_eq!(
            (recipe.memory, recipe.cores),
            (Some(1 << 30), NonZeroU32::new(2))
        );
        assert_eq!(recipe.env.as_ref().unwrap()["CFLAGS"], "-O0 -g");
        assert_eq!(config.farm.jobs.map(NonZeroUsize::get), Some(2));
        assert!(config.package.contains_key(&"lxml".parse().unwrap()));
        for (set, said) in [
            ("farm.job=2", "unknown key `job` in [farm]"),
            ("farm", "`--set farm`"),
            ("farm.python=3.11", "farm.python"),
            ("farm.jobs.x=1", "`farm.jobs`"),
        ] {
            let error = load("wheelfarm.toml", TEXT, &[set]).unwrap_err();
            assert!(error.contains(said), "{set}: {error}");
        }
    }

    #[test]
    fn what_a_run_never_met_is_named() {
        let text = "[package.psycpg2]\n[package.lxml]\n[[overrides]]\nselect = \"lxml / cp311-*\"\n[[overrides]]\nselect = \"cp313-*\"\n";
        let (config, _) = load("wheelfarm.toml", text, &[]).unwrap();
        let met = BTreeSet::from([(
            "lxml".parse().unwrap(),
            "cp311-manylinux_2_36_x86_64".to_owned(),
        )]);
        assert_eq!(
            config.unused(&met),
            [
                "[package.psycpg2] is for no package of this run",
                "the override for `cp313-*` selects nothing of this run",
            ]
        );
    }

    #[test]
    fn errors_say_what_and_where() {
        for (text, said) in [
            (
                "[farm]\npyton = []",
                "unknown key `pyton` in [farm]; did you mean `python`?",
            ),
            ("[frm]\n", "unknown key `frm`; did you mean `farm`?"),
            (
                "[package.psycopg2]\nsystem.atp = []",
                "unknown key `atp` in [package.psycopg2.system]; did you mean `apt`?",
            ),
            (
                "[[overrides]]\nselect = \"*\"\nconfig_settings = {}",
                "unknown key `config_settings` in [[overrides]] (number 1); did you mean `config-settings`?",
            ),
            ("[farm]\nzzz = 1", "it has `compiler-cache`, `constraints`"),
            (
                "[farm]\nexecutor = \"podman\"",
                "no executor called `podman`",
            ),
            ("[farm]\npython = [\"3.x\"]", "line 2"),
            ("[farm]\njobs = 0", "line 2"),
            ("[farm]\ntimeout = \"5y\"", "30m"),
            ("[farm\n", "line 1"),
            ("[package.x]\nmemory = \"2G\"", "2GiB"),
            ("[[overrides]]\nenv = {}", "select"),
            ("[[overrides]]\nselect = \"cp31[\"", "cp31["),
            (
                "[[overrides]]\nselect = \"x / cp27-*\"",
                "`x / cp27-*` selects nothing",
            ),
        ] {
            let error = load("wheelfarm.toml", text, &[]).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
