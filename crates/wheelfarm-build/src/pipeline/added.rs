//! System packages that are added in the course of a run, for builds that miss them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use wheelfarm_types::ProjectName;

use super::Job;
use super::context::Context;
use crate::environment::PackageManager;
use crate::error::JobError;
use crate::event::Event;
use crate::recipes::Recipe;

/// How many packages are added to one job: one for each build that fails.
const MOST: usize = 5;

/// What was added so far, by project and cell.
#[derive(Debug, Default)]
pub struct Added {
    /// Whether anything is to be added.
    allowed: bool,
    packages: Mutex<BTreeMap<(ProjectName, String), Vec<String>>>,
}

/// What was added for a wheel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPackages {
    /// Whose packages they are.
    pub manager: PackageManager,
    /// The packages that were added.
    pub added: Vec<String>,
    /// All packages of its environment that were asked for.
    pub all: Vec<String>,
}

impl Added {
    /// Nothing yet; `allowed` says whether anything will be.
    pub fn new(allowed: bool) -> Self {
        Self {
            allowed,
            packages: Mutex::default(),
        }
    }

    fn packages(&self) -> MutexGuard<'_, BTreeMap<(ProjectName, String), Vec<String>>> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, job: &Job) -> Vec<String> {
        if !self.allowed {
            return Vec::new();
        }
        let key = (job.package.name.clone(), job.cell.id());
        self.packages().get(&key).cloned().unwrap_or_default()
    }

    /// What was added for `job`, whose recipe is by now `recipe`.
    pub(super) fn of(&self, job: &Job, recipe: &Recipe) -> Option<AddedPackages> {
        let added = self.get(job);
        let manager = job.cell.image.manager;
        (!added.is_empty()).then(|| AddedPackages {
            manager,
            added,
            all: recipe.packages(manager),
        })
    }
}

impl Context {
    /// The recipe of `job`, with what was added to it.
    pub(crate) fn recipe(&self, job: &Job) -> Recipe {
        let mut recipe = self.recipes.get(&job.package.name, &job.cell);
        let added = self.added.get(job);
        if !added.is_empty() {
            let packages = recipe.system.entry(job.cell.image.manager).or_default();
            packages.extend(added);
        }
        recipe
    }

    /// Adds what the build of `job` missed by `error`, if that is wanted and something new: whether it is worth another
    /// build.
    pub(super) fn add_missing(&self, job: &Job, recipe: &Recipe, error: &JobError) -> bool {
        let Some(remedy) = error.remedy.as_ref().filter(|_| self.added.allowed) else {
            return false;
        };
        let package = &remedy.package;
        if recipe.packages(job.cell.image.manager).contains(package) {
            return false;
        }
        let key = (job.package.name.clone(), job.cell.id());
        let mut packages = self.added.packages();
        let added = packages.entry(key).or_default();
        if added.len() == MOST {
            return false;
        }
        added.push(package.clone());
        drop(packages);
        self.emit(Event::Log {
            job: job.id(),
            line: format!("building again with the system package `{package}`: {error}"),
        });
        true
    }
}
