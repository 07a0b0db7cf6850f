//! Tools and trees: each in a volume that is filled once and then shared by all actions of all runs.
//!
//! A volume can neither be renamed nor relabelled, so it cannot be filled aside and then moved into place. Each
//! filler therefore uses a volume of its own, and once it is full makes a second, empty one whose name says so
//! (making a volume is atomic). A volume without that sign belongs to a live filler, or is swept.

use std::collections::HashMap;

use bollard::models::{Mount, Volume, VolumeCreateRequest};
use bollard::query_parameters::ListVolumesOptionsBuilder;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, TOOL_DIR};

use crate::docker::error::engine;
use crate::docker::inputs::{Filling, fill, volume_mount};
use crate::docker::scope::Scope;
use crate::error::Result;
use crate::input_file::{Content, InputFile};

const LABEL_TOOL: &str = "wheelfarm.tool";
/// On the sign: the full volume's name.
const LABEL_FULL: &str = "wheelfarm.tool-volume";

/// The mounts of the action's tools and trees.
pub(crate) async fn mounts(
    scope: &mut Scope,
    action: &Action,
    cancel: &CancellationToken,
) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for (name, digest) in &action.tools {
        let filling = Filling::Files(vec![InputFile {
            path: name.clone(),
            content: Content::Stored(*digest),
            executable: true,
        }]);
        let label = format!("{name}@{digest}");
        let volume = volume_of(scope, &action.image, label, filling, cancel).await?;
        mounts.push(volume_mount(&volume, &format!("{TOOL_DIR}/{name}"), true));
    }
    for (directory, digest) in &action.trees {
        let label = format!("tree@{digest}");
        let volume = volume_of(scope, &action.image, label, Filling::Tree(*digest), cancel).await?;
        mounts.push(volume_mount(&volume, directory, true));
    }
    Ok(mounts)
}

/// Whether a sweep leaves `volume` alone although its maker is dead: it is full, or says so of one that exists.
pub(crate) fn is_kept(volume: &Volume, all: &[Volume]) -> bool {
    if let Some(full) = volume.labels.get(LABEL_FULL) {
        return all.iter().any(|other| other.name == *full);
    }
    volume.labels.contains_key(LABEL_TOOL) && has_sign(volume, all)
}

fn has_sign(volume: &Volume, all: &[Volume]) -> bool {
    all.iter()
        .any(|other| other.labels.get(LABEL_FULL) == Some(&volume.name))
}

async fn volume_of(
    scope: &mut Scope,
    image: &str,
    label: String,
    filling: Filling,
    cancel: &CancellationToken,
) -> Result<String> {
    let shared = std::sync::Arc::clone(&scope.shared);
    let _once = shared.tools.lock().await;
    // Asked every time: somebody may have pruned volumes since.
    let filters = HashMap::from([("label", vec![format!("{LABEL_TOOL}={label}")])]);
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let listed = shared
        .client
        .list_volumes(Some(options))
        .await
        .map_err(engine("list volumes"))?;
    let volumes = listed.volumes.unwrap_or_default();
    let ready = volumes.iter().find(|volume| has_sign(volume, &volumes));
    if let Some(ready) = ready {
        return Ok(ready.name.clone());
    }

    let labels = HashMap::from([(LABEL_TOOL.to_owned(), label.clone())]);
    let volume = scope.volume(labels.clone()).await?;
    fill(scope, image, &volume, filling, cancel).await?;
    let mut labels: HashMap<_, _> = scope.labels().into_iter().chain(labels).collect();
    labels.insert(LABEL_FULL.to_owned(), volume.clone());
    let sign = VolumeCreateRequest {
        name: Some(format!("{volume}-full")),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    shared
        .client
        .create_volume(sign)
        .await
        .map_err(engine(format!("keep {label} in a volume")))?;
    scope.keep_volume(&volume);
    Ok(volume)
}
