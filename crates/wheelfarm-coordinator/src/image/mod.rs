//! A wheelhouse as a container image that holds nothing else, for `COPY --from=` and `RUN --mount=from=` of
//! Dockerfiles.
//!
//! Every wheel is a layer of its own, and the locks are the last one. So what changes with a wheel is its layer and
//! the one with the locks, which is small; what was pushed or pulled before is not moved again. With one layer for
//! all, one changed wheel would move all of them. Engines stack some 125 layers at most: where there are more than
//! [`LAYERS`] wheels, their projects are dealt out to that many by the digests of their names, so that a wheel that
//! comes or goes changes one layer still.
//!
//! Layers are not compressed, since wheels are, and so their digests depend on no compressor. Everything is as the
//! [OCI image specification](https://github.com/opencontainers/image-spec) has it, with the `manifest.json` beside it
//! that `docker load` of engines before 25 looks for.

mod layer;
mod name;
mod write;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use wheelfarm_store::Store;
use wheelfarm_types::{Arch, Digest};

use self::layer::{Layer, Member};
use crate::placing::files;
use crate::wheelhouse::{Delivered, WheelhouseError, locks, package_list, runtime_packages};

pub use name::{ImageName, ImageNameError};

/// The directory in the image that has the wheels and locks.
pub const WHEELHOUSE: &str = "wheelhouse";
/// How many layers hold wheels at most.
const LAYERS: u64 = 100;
/// When everything in an image was made: the earliest time that a zip file can hold.
const CREATED: &str = "1980-01-01T00:00:00Z";

/// An image, ready to be written. The same wheels make the same bytes.
#[derive(Debug)]
pub struct WheelhouseImage {
    layers: Vec<Layer>,
    /// All files but the layers, by path.
    files: BTreeMap<String, Bytes>,
    manifest: Digest,
}

impl WheelhouseImage {
    /// The image of `wheels` for machines of `arch`, with their locks. Each wheel is read once, to compute digests.
    pub async fn new(
        store: &Store,
        wheels: &[Delivered],
        arch: Arch,
        name: Option<&ImageName>,
    ) -> Result<Self, WheelhouseError> {
        let mut layers = Vec::new();
        for members in members(wheels)? {
            layers.push(Layer::new(store, members).await?);
        }
        let config = config(arch, &layers);
        let config_digest = Digest::of(&config);
        let layer_list: Vec<_> = layers
            .iter()
            .map(|layer| {
                described(
                    "application/vnd.oci.image.layer.v1.tar",
                    &layer.digest,
                    layer.size,
                )
            })
            .collect();
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = text(&json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": described(
                "application/vnd.oci.image.config.v1+json", &config_digest, config.len() as u64,
            ),
            "layers": layer_list,
        }));
        let manifest_digest = Digest::of(&manifest);
        let mut entry = described(manifest_type, &manifest_digest, manifest.len() as u64);
        entry["platform"] = platform(arch);
        if let Some(name) = name {
            entry["annotations"] = json!({
                "io.containerd.image.name": name.full(),
                "org.opencontainers.image.ref.name": name.tag(),
            });
        }
        let index = text(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        }));
        let for_docker = text(&json!([{
            "Config": blob(&config_digest),
            "RepoTags": name.map(ToString::to_string).into_iter().collect::<Vec<_>>(),
            "Layers": layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
        }]));
        let files = BTreeMap::from([
            (blob(&config_digest), config),
            (blob(&manifest_digest), manifest),
            ("index.json".to_owned(), index),
            ("manifest.json".to_owned(), for_docker),
            (
                "oci-layout".to_owned(),
                text(&json!({ "imageLayoutVersion": "1.0.0" })),
            ),
        ]);
        Ok(Self {
            layers,
            files,
            manifest: manifest_digest,
        })
    }

    /// The digest that registries know it by.
    pub fn digest(&self) -> Digest {
        self.manifest
    }

    /// Its layers' digests, the locks' last.
    pub fn layers(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.digest).collect()
    }
}

/// What each layer holds.
fn members(wheels: &[Delivered]) -> Result<Vec<Vec<Member>>, WheelhouseError> {
    let files = files(wheels)?;
    let mut groups: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    let few = files.len() as u64 <= LAYERS;
    for (name, wheel) in files {
        let group = if few {
            name.clone()
        } else {
            dealt(wheel.project.as_str())
        };
        let member = Member::stored(format!("{WHEELHOUSE}/{name}"), wheel.sha256);
        groups.entry(group).or_default().push(member);
    }
    let given =
        |(name, text): (String, String)| Member::given(format!("{WHEELHOUSE}/{name}"), text);
    let packages = runtime_packages(wheels);
    let packages = packages.iter().map(|(cell, packages)| {
        (
            format!("runtime-packages-{cell}.txt"),
            package_list(packages),
        )
    });
    let mut last: Vec<_> = locks(wheels).into_iter().chain(packages).collect();
    last.sort();
    let mut layers: Vec<_> = groups.into_values().collect();
    layers.push(last.into_iter().map(given).collect());
    Ok(layers)
}

/// The group of a project where there are more wheels than layers.
fn dealt(project: &str) -> String {
    let digest = Digest::of(project).to_string();
    let start = digest.get(..8).unwrap_or_default();
    let number = u64::from_str_radix(start, 16).unwrap_or_default();
    format!("{:03}", number % LAYERS)
}

fn config(arch: Arch, layers: &[Layer]) -> Bytes {
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|layer| format!("sha256:{}", layer.digest))
        .collect();
    let mut config = platform(arch);
    config["created"] = json!(CREATED);
    config["config"] = json!({});
    config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    text(&config)
}

fn platform(arch: Arch) -> Value {
    let name = arch.image_platform();
    match name.split_once('/') {
        Some((name, variant)) => json!({ "architecture": name, "os": "linux", "variant": variant }),
        None => json!({ "architecture": name, "os": "linux" }),
    }
}

fn described(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

/// Where a blob lies in a layout.
fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{digest}")
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

#[cfg(test)]
mod tests;
