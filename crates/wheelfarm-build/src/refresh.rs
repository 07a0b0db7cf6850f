//! What has become of the packages that wheels in the store were built with.
//!
//! ```text
//!   store ── wheels ──> built wheels ── lines ──> environments to look at ── outlook ──> manifest as of now
//!                            └───────────────────── stale ──────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde::Serialize;
use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::{Digest, ProjectName, Version};

use crate::catalogue::{BuilderImage, Catalogue};
use crate::environment::{EnvironmentRecipe, EnvironmentRecord, SystemPackage};
use crate::error::JobError;
use crate::event::Event;
use crate::matrix::Cell;
use crate::pipeline::{self, Context};
use crate::recipes::Recipes;
use crate::records::{RawRecord, Vendored, WheelRecord, kind};

/// A wheel of the store, and the environment it was built in.
#[derive(Debug, Clone)]
pub struct BuiltWheel {
    /// The project.
    pub project: ProjectName,
    /// Its version.
    pub version: Version,
    /// Where it was built, and for what.
    pub cell: Cell,
    /// Its record.
    pub record: WheelRecord,
    /// The recipe of its environment.
    pub recipe: EnvironmentRecipe,
    /// The environment's generation.
    pub generation: u32,
}

/// A package that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name.
    pub package: String,
    /// The version it had; none if it was not there.
    pub old: Option<String>,
    /// The version it has; none if it is not there any more.
    pub new: Option<String>,
}

/// A library in a wheel that comes from another version of its package than there is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StaleLibrary {
    /// The name it is needed by.
    pub soname: String,
    /// Its package.
    pub package: String,
    /// The version it comes from.
    pub old: String,
    /// The version that there is now; none if the package is not installed any more.
    pub new: Option<String>,
}

/// The newest wheels of every project, version and cell that were built in images of `catalogue` with the packages
/// that `recipes` ask for today; those whose recipe has changed since are replaced by the next build anyway.
async fn wheels(
    store: &Store,
    catalogue: &Catalogue,
    recipes: &Recipes,
) -> Result<Vec<BuiltWheel>, StoreError> {
    let environments = pipeline::recorded_environments(store).await?;
    let mut newest: BTreeMap<_, BuiltWheel> = BTreeMap::new();
    for key in store.records(kind::WHEEL).await? {
        let Some(record) = store.record::<WheelRecord>(kind::WHEEL, &key).await? else {
            continue;
        };
        let raw = store.record::<RawRecord>(kind::RAW, &record.inputs.raw_key);
        let Some(raw) = raw.await? else { continue };
        let Some(environment) = environments.get(&raw.inputs.environment) else {
            continue;
        };
        let recipe = environment.recipe.clone();
        let Some(image) = catalogue.get(&recipe.image) else {
            continue;
        };
        let cell = Cell {
            image: image.clone(),
            python: raw.inputs.python,
            target: record.inputs.target,
        };
        // The inputs have none if the source did not state it.
        let Ok(version) = record.filename.parsed_version() else {
            continue;
        };
        let project = raw.inputs.project;
        if recipes.get(&project, &cell).packages(image.manager) != recipe.packages {
            continue;
        }
        let wheel = BuiltWheel {
            project: project.clone(),
            version: version.clone(),
            cell,
            recipe,
            generation: raw.inputs.generation,
            record,
        };
        let place = (project, version, wheel.cell.id(), image.name.clone());
        let known = newest.get(&place).map(BuiltWheel::age);
        if known.is_none_or(|known| known < wheel.age()) {
            newest.insert(place, wheel);
        }
    }
    Ok(newest.into_values().collect())
}

impl BuiltWheel {
    /// Names it for people: as jobs are named.
    pub fn id(&self) -> String {
        format!("{} {} {}", self.project, self.version, self.cell.id())
    }

    fn age(&self) -> (u32, String) {
        // The name decides between equals, so that each run says the same.
        (self.generation, self.record.filename.to_string())
    }

    /// The libraries in it that come from another version of their package than `now` has.
    pub fn stale(&self, now: &[SystemPackage]) -> Vec<StaleLibrary> {
        stale(&self.record.vendored, now)
    }
}

/// Those of `vendored` that come from another version of their package than `now` has.
fn stale(vendored: &[Vendored], now: &[SystemPackage]) -> Vec<StaleLibrary> {
    let mut stale = Vec::new();
    for library in vendored {
        let Some((name, old)) = library.package.as_deref().and_then(|it| it.split_once(' ')) else {
            continue;
        };
        let new = now.iter().find(|package| package.name == name);
        let new = new.map(|package| package.version.clone());
        if new.as_deref() != Some(old) {
            stale.push(StaleLibrary {
                soname: library.soname.clone(),
                package: name.to_owned(),
                old: old.to_owned(),
                new,
            });
        }
    }
    stale
}

/// Wheels of the store as far as a comparison needs them. Their records never change, so each is read once.
#[derive(Debug, Default)]
pub struct Stock(BTreeMap<Digest, Stocked>);

#[derive(Debug)]
struct Stocked {
    wheel: Digest,
    vendored: Vec<Vendored>,
    /// The recipe of the environment it was built in.
    environment: Digest,
}

/// A wheel that was compared with what the store knows of its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The environment, for people.
    pub environment: String,
    /// Libraries in the wheel that are not as they would be now.
    pub stale: Vec<StaleLibrary>,
}

impl Stock {
    /// Compares all wheels that were built with what the newest generation of their environment on record has, without
    /// asking anybody what there is beyond that. The result is by digest of the wheel.
    pub async fn compare(
        &mut self,
        store: &Store,
    ) -> Result<BTreeMap<Digest, Compared>, StoreError> {
        let mut recipes = BTreeMap::new();
        let mut lines: BTreeMap<Digest, EnvironmentRecord> = BTreeMap::new();
        let known: BTreeSet<Digest> = store
            .series(kind::ENVIRONMENT)
            .await?
            .into_iter()
            .map(|(_, recipe, _)| recipe)
            .collect();
        for digest in known {
            let latest = store.latest::<EnvironmentRecord>(kind::ENVIRONMENT, &digest);
            let Some((_, record)) = latest.await? else {
                continue;
            };
            let line = record.recipe.line();
            recipes.insert(digest, line);
            if lines
                .get(&line)
                .is_none_or(|other| other.generation < record.generation)
            {
                lines.insert(line, record);
            }
        }
        let keys = store.records(kind::WHEEL).await?;
        for key in &keys {
            if !self.0.contains_key(key)
                && let Some(read) = Stocked::read(store, key).await?
            {
                self.0.insert(*key, read);
            }
        }
        let mut compared = BTreeMap::new();
        for wheel in keys.iter().filter_map(|key| self.0.get(key)) {
            let line = recipes
                .get(&wheel.environment)
                .and_then(|line| lines.get(line));
            if let Some(line) = line {
                let stale = stale(&wheel.vendored, &line.manifest);
                let environment = line.recipe.name();
                compared.insert(wheel.wheel, Compared { environment, stale });
            }
        }
        Ok(compared)
    }
}

impl Stocked {
    async fn read(store: &Store, key: &Digest) -> Result<Option<Self>, StoreError> {
        let Some(record) = store.record::<WheelRecord>(kind::WHEEL, key).await? else {
            return Ok(None);
        };
        let raw = store.record::<RawRecord>(kind::RAW, &record.inputs.raw_key);
        Ok(raw.await?.map(|raw| Self {
            wheel: record.wheel,
            vendored: record.vendored,
            environment: raw.inputs.environment,
        }))
    }
}

/// The environments that `wheels` with libraries of the system were built in, each once and as it would be made today
/// from the image whose content `content` tells; images that are not here have none.
fn lines(
    wheels: &[BuiltWheel],
    content: &BTreeMap<String, Digest>,
) -> Vec<(BuilderImage, EnvironmentRecipe)> {
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for wheel in wheels {
        let vendors = wheel.record.vendored.iter();
        if vendors
            .filter_map(|library| library.package.as_ref())
            .count()
            == 0
        {
            continue;
        }
        if let Some(content) = content.get(&wheel.recipe.image)
            && seen.insert(wheel.recipe.line())
        {
            let recipe = EnvironmentRecipe {
                image_content: *content,
                ..wheel.recipe.clone()
            };
            lines.push((wheel.cell.image.clone(), recipe));
        }
    }
    lines
}

/// What is different in `new`, by package.
fn changes(old: &[SystemPackage], new: &[SystemPackage]) -> Vec<PackageChange> {
    let by_name = |manifest: &[SystemPackage]| -> BTreeMap<(String, String), String> {
        manifest
            .iter()
            .map(|package| {
                let name = (package.name.clone(), package.arch.clone());
                (name, package.version.clone())
            })
            .collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(name) != new.get(name))
        .map(|name| PackageChange {
            package: name.0.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
        })
        .collect()
}

/// An environment as it would be made today, beside what is pinned.
#[derive(Debug)]
pub struct Line {
    /// Its image.
    pub image: BuilderImage,
    /// What it is made from.
    pub recipe: EnvironmentRecipe,
    /// The newest generation on record.
    pub generation: u32,
    /// What is different now.
    pub changes: Vec<PackageChange>,
    /// All that would be installed now.
    pub manifest: Vec<SystemPackage>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Outlook {
    /// The environments that were looked at.
    pub lines: Vec<Line>,
    /// Wheels with libraries that are not as they would be now.
    pub stale: Vec<(BuiltWheel, Vec<StaleLibrary>)>,
    /// How many wheels were compared.
    pub compared: usize,
    /// Images that are not on this machine, so that nothing is known of their wheels.
    pub absent: BTreeSet<String>,
    /// Environments that could not be made, named as in events, and why.
    pub failures: Vec<(String, JobError)>,
}

/// Asks for every environment that wheels of `projects` (all if there are none) were built in what would be installed
/// now, and compares. Files nothing.
pub async fn look(
    context: &Context,
    catalogue: &Catalogue,
    projects: &BTreeSet<ProjectName>,
) -> Result<Outlook, JobError> {
    let mut wheels = wheels(&context.store, catalogue, &context.recipes).await?;
    wheels.retain(|wheel| projects.is_empty() || projects.contains(&wheel.project));
    let mut outlook = Outlook::default();
    let mut content = BTreeMap::new();
    for name in wheels.iter().map(|wheel| &wheel.recipe.image) {
        let Some(image) = catalogue.get(name).filter(|_| !content.contains_key(name)) else {
            continue;
        };
        match context.environments.image(image).await? {
            Some(facts) => drop(content.insert(name.clone(), facts.content)),
            None => drop(outlook.absent.insert(name.clone())),
        }
    }
    let lines = lines(&wheels, &content);
    let looks = lines
        .into_iter()
        .map(|(image, recipe)| look_at(context, &wheels, image, recipe));
    for (job, line) in join_all(looks).await {
        match line {
            Ok(line) => outlook.lines.push(line),
            Err(error) => outlook.failures.push((job, error)),
        }
    }
    for wheel in wheels {
        let line = wheel.recipe.line();
        let now = outlook.lines.iter().find(|now| now.recipe.line() == line);
        let Some(now) = now else { continue };
        outlook.compared += 1;
        let stale = wheel.stale(&now.manifest);
        if !stale.is_empty() {
            outlook.stale.push((wheel, stale));
        }
    }
    Ok(outlook)
}

async fn look_at(
    context: &Context,
    wheels: &[BuiltWheel],
    image: BuilderImage,
    recipe: EnvironmentRecipe,
) -> (String, Result<Line, JobError>) {
    let job = recipe.name();
    let work = async {
        let manifest = pipeline::installable(context, &job, &image, &recipe).await?;
        let mut pinned = None;
        let line = recipe.line();
        let built = wheels.iter().map(|wheel| &wheel.recipe);
        for known in [&recipe]
            .into_iter()
            .chain(built.filter(|known| known.line() == line))
        {
            let digest = known.digest();
            let latest = context.store.latest(kind::ENVIRONMENT, &digest).await?;
            pinned = latest.map(|(_, record): (_, EnvironmentRecord)| record);
            if pinned.is_some() {
                break;
            }
        }
        let changes = pinned
            .as_ref()
            .map(|pinned| changes(&pinned.manifest, &manifest));
        Ok(Line {
            generation: pinned.map_or(0, |pinned| pinned.generation),
            changes: changes.unwrap_or_default(),
            image,
            recipe,
            manifest,
        })
    };
    let result = work.await;
    (context.observer)(Event::Ended {
        job: job.clone(),
        ok: result.is_ok(),
        summary: String::new(),
    });
    (job, result)
}

#[cfg(test)]
mod tests;
