//! What is left in an engine of the runs of one test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use wheelfarm_types::Digest;

use crate::engine::{Engine, Kind};

impl Engine {
    /// Nothing of this test's runs is in the engine, tools aside.
    pub(crate) async fn assert_clean(&self) {
        // What downloads share is kept until then.
        self.tested.close().await;
        let left = self.left().await;
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// Names of what runs of this test made in the engine: containers and volumes, or directories. Tools are kept for
    /// other runs, and are not among them.
    pub(crate) async fn left(&self) -> Vec<String> {
        let Some(directory) = self.tested.sandbox_directory() else {
            return left_in_docker(&self.client(), &filters(self.runs.path())).await;
        };
        let runs = self.sandbox_runs.lock().unwrap();
        let all = ["actions", "making"].map(|below| names(&directory.join(below)));
        let mut left = all.concat();
        left.retain(|name| {
            name.rsplit_once('-')
                .is_some_and(|(run, _)| runs.contains(run))
        });
        left
    }

    /// Names of what keeps the tool or tree with this digest.
    pub(crate) async fn kept(&self, digest: &Digest) -> Vec<String> {
        let suffix = format!("@{digest}");
        if let Some(directory) = self.tested.sandbox_directory() {
            let tools = names(&directory.join("tools")).into_iter();
            let tools = tools.filter(|name| name.ends_with(&suffix));
            let trees = names(&directory.join("trees")).into_iter();
            let trees = trees.filter(|name| *name == digest.to_string());
            return tools.chain(trees).collect();
        }
        let volumes = volumes(&self.client(), &HashMap::new()).await.into_iter();
        let label = |volume: &bollard::models::Volume| volume.labels.get("wheelfarm.tool").cloned();
        volumes
            .filter(|volume| label(volume).is_some_and(|label| label.ends_with(&suffix)))
            .map(|volume| volume.name)
            .collect()
    }

    /// How many names a tool that is kept has. A volume that holds it and one that says it is full; or a directory.
    pub(crate) fn names_of_a_tool(&self) -> usize {
        if self.kind == Kind::Sandbox { 1 } else { 2 }
    }

    /// Removes a tool or tree that is kept.
    pub(crate) async fn remove_kept(&self, digest: &Digest) {
        for name in self.kept(digest).await {
            if let Some(directory) = self.tested.sandbox_directory() {
                let paths = ["tools", "trees"].map(|below| directory.join(below).join(&name));
                let path: Vec<PathBuf> = paths.into_iter().filter(|path| path.exists()).collect();
                fs_err::remove_dir_all(path.first().unwrap()).unwrap();
                continue;
            }
            let options = RemoveVolumeOptionsBuilder::new().build();
            let removed = self.client().remove_volume(&name, Some(options)).await;
            removed.unwrap();
        }
    }

    /// A connection to the engine, for questions that the executor does not ask.
    pub(crate) fn client(&self) -> bollard::Docker {
        client(self.kind)
    }
}

/// A connection to the engine of this kind, which is none that listens nowhere.
pub(crate) fn client(kind: Kind) -> bollard::Docker {
    assert_ne!(kind, Kind::Sandbox, "nobody listens there");
    let version = bollard::ClientVersion {
        major_version: 1,
        minor_version: 41,
    };
    let host = kind.host();
    let host = host.as_deref().unwrap_or("unix:///var/run/docker.sock");
    bollard::Docker::connect_with_unix(host, 120, &version).unwrap()
}

async fn left_in_docker(
    client: &bollard::Docker,
    filters: &HashMap<&'static str, Vec<String>>,
) -> Vec<String> {
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(filters)
        .build();
    let containers = client.list_containers(Some(options)).await.unwrap();
    let containers = containers.into_iter();
    let mut left: Vec<_> = containers
        .flat_map(|container| container.names.unwrap_or_default())
        .collect();
    let volumes = volumes(client, filters).await.into_iter();
    let volumes = volumes.filter(|volume| !volume.labels.contains_key("wheelfarm.tool"));
    left.extend(volumes.map(|volume| volume.name));
    left
}

async fn volumes(
    client: &bollard::Docker,
    filters: &HashMap<&'static str, Vec<String>>,
) -> Vec<bollard::models::Volume> {
    let options = ListVolumesOptionsBuilder::new().filters(filters).build();
    let listed = client.list_volumes(Some(options)).await.unwrap();
    listed.volumes.unwrap_or_default()
}

fn filters(runs: &Path) -> HashMap<&'static str, Vec<String>> {
    let identity = fs_err::read_to_string(runs.join("identity")).unwrap();
    HashMap::from([("label", vec![format!("wheelfarm.runs={identity}")])])
}

/// The names in a directory; none if it is not there.
fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(directory) else {
        return Vec::new();
    };
    let entries = entries.map(|entry| entry.unwrap().file_name());
    entries
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
