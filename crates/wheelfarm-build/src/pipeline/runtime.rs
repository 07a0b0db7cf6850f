//! The bare runtime, with the system packages that wheels need there.

use super::context::Context;
use super::slots::Claim;
use crate::catalogue::ImageFacts;
use crate::environment::{EnvironmentRecipe, EnvironmentRecord};
use crate::error::JobError;
use crate::event::Stage;
use crate::matrix::Cell;
use crate::records::kind;

/// The image in which wheels of `cell` are proved that need `packages`: the bare runtime itself if they need none,
/// else one that is made from it, now if it is not here.
pub(super) async fn image(
    context: &Context,
    cell: &Cell,
    packages: &[String],
) -> Result<ImageFacts, JobError> {
    let bare = context.environments.runtime(&cell.image).await?;
    if packages.is_empty() {
        return Ok(bare);
    }
    let recipe = EnvironmentRecipe {
        image: format!("{} runtime", cell.image.name),
        image_content: bare.content,
        manager: cell.image.manager,
        packages: packages.to_vec(),
    };
    let key = recipe.digest();
    let id = cell.id();
    let _flight = context.alone(&id, key).await?;
    let known = context
        .store
        .latest::<EnvironmentRecord>(kind::RUNTIME, &key)
        .await?;
    if let Some((_, record)) = &known
        && let Some(id) = context.environments.find(record).await?
    {
        return Ok(facts(id, record, &bare));
    }
    let slot = context.environment_slot(Claim::default()).await?;
    let log = context.log_of(&id);
    let make = context.retrying(&id, Stage::Environment, || {
        let (environments, cancel) = (&context.environments, &context.cancel);
        environments.make(&cell.image, &bare, &recipe, log.clone(), cancel)
    });
    let (made, _) = context.staged(&id, Stage::Environment, make).await?;
    drop(slot);
    let record = EnvironmentRecord {
        generation: known
            .as_ref()
            .map_or(1, |(_, record)| record.generation + 1),
        recipe,
        manifest: made.manifest,
        root: context.store.put(made.root).await?,
    };
    let same = known.is_some_and(|(_, known)| known.manifest == record.manifest);
    if !same {
        let number = u64::from(record.generation);
        context
            .store
            .append(kind::RUNTIME, &key, number, &record)
            .await?;
    }
    Ok(facts(made.image, &record, &bare))
}

fn facts(id: String, record: &EnvironmentRecord, bare: &ImageFacts) -> ImageFacts {
    ImageFacts {
        id,
        content: crate::key::canonical_digest(&(bare.content, record.manifest_digest())),
        size: bare.size,
    }
}
