//! The environment of a job: pinned in the store, made on this machine when something must run in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::Digest;

use super::context::Context;
use super::memo::Pinned;
use super::slots::Claim;
use crate::catalogue::BuilderImage;
use crate::environment::{EnvironmentRecipe, EnvironmentRecord, SystemPackage, manifest_digest};
use crate::error::JobError;
use crate::event::Stage;
use crate::matrix::Cell;
use crate::recipes::Recipe;
use crate::records::kind;

/// An engine that has an environment, or does not, says so within this time.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The content of a builder image as it was last seen with this store, by name and architecture: so that a fresh
/// machine computes the same keys before it has the image.
fn image_key(image: &BuilderImage) -> Digest {
    crate::key::canonical_digest(&(&image.name, image.target.arch))
}

/// Whether builds with this store have seen `image`: then keys of what was built in it can be computed without it.
pub async fn seen_image(store: &Store, image: &BuilderImage) -> Result<bool, StoreError> {
    let seen = store.latest::<Digest>("image", &image_key(image)).await?;
    Ok(seen.is_some())
}

/// Makes sure that what the cell's builder image holds is known, so that keys can be computed: pulls it if this
/// machine has never seen it and the store has not either.
pub async fn prepare_image(context: &Context, cell: &Cell) -> Result<(), JobError> {
    let job = format!("image {}", cell.image.name);
    image_content(context, &job, cell).await.map(drop)
}

/// The content of the cell's builder image: that of the image here, else what the store remembers. Gets no image.
async fn known_content(context: &Context, cell: &Cell) -> Result<Option<Digest>, JobError> {
    let key = image_key(&cell.image);
    if let Some(content) = context.memo.images.get(&key) {
        return Ok(Some(content));
    }
    let remembered = context.store.latest::<Digest>("image", &key).await?;
    let Some(facts) = context.environments.image(&cell.image).await? else {
        let content = remembered.map(|(_, content)| content);
        if let Some(content) = content {
            context.memo.images.set(key, content);
        }
        return Ok(content);
    };
    remember_content(context, &key, remembered, facts.content).await?;
    Ok(Some(facts.content))
}

async fn remember_content(
    context: &Context,
    key: &Digest,
    remembered: Option<(u64, Digest)>,
    content: Digest,
) -> Result<(), JobError> {
    context.memo.images.set(*key, content);
    if remembered.is_none_or(|(_, remembered)| remembered != content) {
        let number = remembered.map_or(1, |(number, _)| number + 1);
        context.store.append("image", key, number, &content).await?;
    }
    Ok(())
}

/// The content of the cell's builder image, of which is made sure if neither this machine nor the store knows it.
async fn image_content(context: &Context, job: &str, cell: &Cell) -> Result<Digest, JobError> {
    if let Some(content) = known_content(context, cell).await? {
        return Ok(content);
    }
    let log = context.log_of(job);
    let (image, cancel) = (&cell.image, &context.cancel);
    let ensure = context.retrying(job, Stage::Image, || {
        context
            .environments
            .ensure_image(image, log.clone(), cancel)
    });
    let content = context.staged(job, Stage::Image, ensure).await?.0.content;
    remember_content(context, &image_key(&cell.image), None, content).await?;
    Ok(content)
}

/// The newest record of every environment that was made with `store`, by its recipe's digest.
pub async fn recorded_environments(
    store: &Store,
) -> Result<BTreeMap<Digest, EnvironmentRecord>, StoreError> {
    let series = store.series(kind::ENVIRONMENT).await?;
    let recipes: BTreeSet<_> = series.into_iter().map(|(_, recipe, _)| recipe).collect();
    let mut records = BTreeMap::new();
    for recipe in recipes {
        let latest = store.latest(kind::ENVIRONMENT, &recipe).await?;
        records.extend(latest.map(|(_, record)| (recipe, record)));
    }
    Ok(records)
}

fn recipe_of(cell: &Cell, recipe: &Recipe, image_content: Digest) -> EnvironmentRecipe {
    EnvironmentRecipe {
        image: cell.image.name.clone(),
        image_content,
        manager: cell.image.manager,
        packages: recipe.packages(cell.image.manager),
    }
}

/// The environment for `recipe` in `cell`, as the store has it pinned; none if it never was made.
pub(super) async fn known(
    context: &Context,
    cell: &Cell,
    recipe: &Recipe,
) -> Result<Option<Arc<Pinned>>, JobError> {
    let Some(content) = known_content(context, cell).await? else {
        return Ok(None);
    };
    let recipe = recipe_of(cell, recipe, content);
    if let Some(known) = context.memo.environments.get(&recipe.digest()) {
        return Ok(Some(known));
    }
    let record = latest(context, &recipe).await?;
    Ok(record.map(|record| note(context, record)))
}

/// What is known of the environment of `record` from now on in this run.
fn note(context: &Context, record: EnvironmentRecord) -> Arc<Pinned> {
    let pinned = Arc::new(Pinned::new(record));
    let known = Arc::clone(&pinned);
    let before = context.memo.environments.set(pinned.recipe_digest, known);
    if before.is_some_and(|before| before != pinned) {
        // What was built in the one before is to be built again in this one.
        context.memo.requires.clear();
    }
    pinned
}

/// The environment for `recipe` in `cell`, as the store has it pinned; made now if it never was.
pub(super) async fn pinned(
    context: &Context,
    job: &str,
    cell: &Cell,
    recipe: &Recipe,
    claim: Claim,
) -> Result<(), JobError> {
    let recipe = recipe_of(cell, recipe, image_content(context, job, cell).await?);
    if latest(context, &recipe).await?.is_some() {
        return Ok(());
    }
    let _flight = context.alone(job, recipe.digest()).await?;
    // Another job may have made it while this one waited.
    if latest(context, &recipe).await?.is_none() {
        make(context, job, &cell.image, &recipe, claim).await?;
    }
    Ok(())
}

/// The image of `record`'s environment, made again if it is not here; and the record, which is a newer one if what
/// can be installed has changed since.
pub(super) async fn image(
    context: &Context,
    job: &str,
    cell: &Cell,
    pinned: &Arc<Pinned>,
    claim: Claim,
) -> Result<(String, Arc<Pinned>), JobError> {
    let _flight = context.alone(job, pinned.recipe_digest).await?;
    let pinned = match latest(context, &pinned.recipe).await? {
        Some(record) if record != ***pinned => note(context, record),
        _ => Arc::clone(pinned),
    };
    let found = {
        let mut find = context.environments.find(&pinned);
        if let Ok(found) = tokio::time::timeout(AT_ONCE, &mut find).await {
            found?
        } else {
            // It is here, and is on its way to where builds run.
            let find = async { Ok(find.await?) };
            context.staged(job, Stage::Environment, find).await?.0
        }
    };
    if let Some(image) = found {
        return Ok((image, pinned));
    }
    let (image, record) = make(context, job, &cell.image, &pinned.recipe, claim).await?;
    Ok((image, note(context, record)))
}

async fn latest(
    context: &Context,
    recipe: &EnvironmentRecipe,
) -> Result<Option<EnvironmentRecord>, JobError> {
    let latest = context
        .store
        .latest(kind::ENVIRONMENT, &recipe.digest())
        .await?;
    Ok(latest.map(|(_, record)| record))
}

/// What would be installed in the environment of `recipe` now. Nothing is kept.
pub(crate) async fn installable(
    context: &Context,
    job: &str,
    image: &BuilderImage,
    recipe: &EnvironmentRecipe,
) -> Result<Vec<SystemPackage>, JobError> {
    let log = context.log_of(job);
    let environments = &context.environments;
    let cancel = &context.cancel;
    let slot = context.environment_slot(Claim::default()).await?;
    let work = async {
        let facts = environments
            .ensure_image(image, log.clone(), cancel)
            .await?;
        Ok(environments
            .outlook(image, &facts, recipe, log, cancel)
            .await?)
    };
    let (manifest, _) = context.staged(job, Stage::Environment, work).await?;
    drop(slot);
    Ok(manifest)
}

/// Resolves the environment of `recipe` again: makes it, and files it as a further generation if other packages are
/// installed now.
pub async fn renew(
    context: &Context,
    job: &str,
    image: &BuilderImage,
    recipe: &EnvironmentRecipe,
) -> Result<EnvironmentRecord, JobError> {
    let _flight = context.flights.enter(recipe.digest()).await;
    Ok(make(context, job, image, recipe, Claim::default()).await?.1)
}

/// Makes the environment and files it, unless what was installed is what the newest record says.
async fn make(
    context: &Context,
    job: &str,
    image: &BuilderImage,
    recipe: &EnvironmentRecipe,
    claim: Claim,
) -> Result<(String, EnvironmentRecord), JobError> {
    let log = context.log_of(job);
    let slot = context.environment_slot(claim).await?;
    let work = async {
        let (environments, cancel) = (&context.environments, &context.cancel);
        let facts = context.retrying(job, Stage::Image, || {
            environments.ensure_image(image, log.clone(), cancel)
        });
        let facts = facts.await?;
        let recipe = EnvironmentRecipe {
            image_content: facts.content,
            ..recipe.clone()
        };
        let made = context.retrying(job, Stage::Environment, || {
            environments.make(image, &facts, &recipe, log.clone(), cancel)
        });
        let made = made.await?;
        Ok((made, recipe))
    };
    let ((made, recipe), _) = context.staged(job, Stage::Environment, work).await?;
    drop(slot);
    let before = latest(context, &recipe).await?;
    if let Some(record) = before.clone()
        && record.manifest_digest() == manifest_digest(&made.manifest)
        && context.store.contains(&record.root).await?
    {
        return Ok((made.image, record));
    }
    // An image that was made anew begins a series, but not at 1: installers take the higher build tag.
    let line = recipe.line();
    let of_line = context.store.latest::<Digest>(kind::LINE, &line).await?;
    let of_line = of_line.and_then(|(number, _)| u32::try_from(number).ok());
    let generation = before.map_or(0, |record| record.generation);
    let record = EnvironmentRecord {
        generation: generation.max(of_line.unwrap_or(0)) + 1,
        recipe,
        manifest: made.manifest,
        root: context.store.put(made.root).await?,
    };
    let number = u64::from(record.generation);
    context
        .store
        .append(kind::ENVIRONMENT, &record.recipe.digest(), number, &record)
        .await?;
    let digest = record.recipe.digest();
    context
        .store
        .append(kind::LINE, &line, number, &digest)
        .await?;
    note(context, record.clone());
    Ok((made.image, record))
}
