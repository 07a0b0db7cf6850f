//! Pulls images from registries.

use std::sync::Arc;

use oci_client::Reference;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::LogSink;
use wheelfarm_build::catalogue::ImageFacts;
use wheelfarm_types::{Arch, Digest};

use super::fetch::{Fetch, kept};
use super::making::Layer;
use super::manifest::{self, Manifest};
use super::record::ImageRecord;
use super::registry::{Registry, parse};
use crate::error::{Result, cancelled};
use crate::sandbox::{Sandbox, Shared};

/// The kind of the records in the store that name the parts of an image: what no record names is collected as garbage.
const RECORDS: &str = "images";

/// What an image consists of, as registries have it: a record in the store, under the digest of its manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Parts {
    reference: String,
    /// The list of platforms that the manifest was selected from, or the manifest itself.
    index: Digest,
    manifest: Digest,
    config: Digest,
    layers: Vec<Digest>,
}

impl Sandbox {
    /// Pulls `reference`, which should have a digest, for `arch`: its parts into the store, unless they are there
    /// already, and from there onto this machine. Everything is verified by its digest.
    pub async fn pull(
        &self,
        reference: &str,
        arch: Arch,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageFacts> {
        let reference = reference.to_owned();
        self.supervise(cancel, |shared, cancel| async move {
            let pull = Box::pin(pull(&shared, &reference, arch, &progress, &cancel));
            cancel
                .run_until_cancelled(pull)
                .await
                .ok_or_else(|| cancelled(format!("pulling {reference}")))?
        })
        .await
    }
}

async fn pull(
    shared: &Arc<Shared>,
    name: &str,
    arch: Arch,
    progress: &LogSink,
    cancel: &CancellationToken,
) -> Result<ImageFacts> {
    let reference = parse(name)?;
    let logins = Arc::clone(&shared.registry_login);
    let registry = Registry::new(reference.clone(), &shared.network, logins)?;
    let fetch = Fetch {
        registry: &registry,
        store: &shared.store,
        progress,
    };
    let (record, layers) = find(&fetch, &reference, name, arch).await?;
    let record = if let Some(same) = shared.record(&record.id)? {
        same
    } else {
        let layers = layers.into_iter().map(Layer::Stored).collect();
        shared.put_image(record, layers, progress, cancel).await?
    };
    shared.give_name(name, &record.id)?;
    shared.tidy_images().await;
    Ok(record.facts())
}

/// Sees to it that the store has the image. What it is, and its layers.
pub(super) async fn find(
    fetch: &Fetch<'_>,
    reference: &Reference,
    name: &str,
    arch: Arch,
) -> Result<(ImageRecord, Vec<Digest>)> {
    let useless = |reason: String| fetch.registry.useless(&reason);
    let pinned = reference.digest().map(manifest::digest).transpose();
    let pinned = pinned.map_err(useless)?;
    let (bytes, index) = fetch.manifest(pinned.as_ref()).await?;
    let mut found = Manifest::parse(&bytes).map_err(useless)?;
    let mut digest = index;
    if let Manifest::Index(platforms) = &found {
        digest = manifest::select(platforms, arch).map_err(useless)?;
        let (bytes, _) = fetch.manifest(Some(&digest)).await?;
        found = Manifest::parse(&bytes).map_err(useless)?;
    }
    let Manifest::Image { config, layers } = found else {
        return Err(useless("its platform is a list of platforms".to_owned()));
    };
    let bytes = fetch.text(&config).await?;
    let record = manifest::record(&bytes, &config.digest, layers.len(), arch).map_err(useless)?;
    fetch.layers(&layers).await?;
    let layers: Vec<_> = layers.iter().map(|layer| layer.digest).collect();
    let parts = Parts {
        reference: name.to_owned(),
        index,
        manifest: digest,
        config: config.digest,
        layers: layers.clone(),
    };
    let recorded = fetch.store.create_record(RECORDS, &digest, &parts).await;
    recorded.map_err(|source| kept(&source))?;
    Ok((record, layers))
}
