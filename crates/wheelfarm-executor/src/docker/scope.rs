//! The containers and volumes of one piece of work: labelled when made, removed when it ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use futures::future::join_all;

use crate::docker::Shared;
use crate::docker::error::{engine, is_inability};
use crate::error::Result;

/// Which runs directory the owner's lock file is in.
pub(crate) const LABEL_RUNS: &str = "wheelfarm.runs";
/// The owner's lock file.
pub(crate) const LABEL_LOCK: &str = "wheelfarm.lock";
const LABEL_RUN: &str = "wheelfarm.run";
const LABEL_ACTION: &str = "wheelfarm.action";
/// Podman cannot remove a container that ends at that moment: it is asked again after so many milliseconds each.
const PAUSES: [u64; 5] = [50, 100, 300, 1000, 3000];

/// What one piece of work made in the engine. Call [`Scope::close`]; if it is dropped instead, by a panic,
/// removal goes on in the background.
pub(crate) struct Scope {
    pub(crate) shared: Arc<Shared>,
    /// What it is, for labels and messages.
    pub(crate) action: String,
    containers: Vec<String>,
    volumes: Vec<String>,
}

impl Scope {
    pub(crate) fn new(shared: Arc<Shared>, action: impl Into<String>) -> Self {
        Self {
            shared,
            action: action.into(),
            containers: Vec::new(),
            volumes: Vec::new(),
        }
    }

    /// The labels of everything made here.
    pub(crate) fn labels(&self) -> HashMap<String, String> {
        let lock = &self.shared.lock;
        HashMap::from([
            (LABEL_RUN.to_owned(), lock.run().to_owned()),
            (
                LABEL_RUNS.to_owned(),
                lock.directory().identity().to_owned(),
            ),
            (
                LABEL_LOCK.to_owned(),
                lock.path().to_string_lossy().into_owned(),
            ),
            (LABEL_ACTION.to_owned(), self.action.clone()),
        ])
    }

    /// Makes an empty volume; returns its name.
    pub(crate) async fn volume(&mut self, more: HashMap<String, String>) -> Result<String> {
        let name = self.shared.unique_name();
        let mut labels = self.labels();
        labels.extend(more);
        self.volumes.push(name.clone());
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        self.shared
            .client
            .create_volume(request)
            .await
            .map_err(engine(format!("create a volume for `{}`", self.action)))?;
        Ok(name)
    }

    /// Keeps a volume when this scope ends.
    pub(crate) fn keep_volume(&mut self, name: &str) {
        self.volumes.retain(|volume| volume != name);
    }

    /// Creates a container with our labels; returns its name.
    pub(crate) async fn container(&mut self, body: ContainerCreateBody) -> Result<String> {
        let name = self.shared.unique_name();
        self.containers.push(name.clone());
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let body = ContainerCreateBody {
            labels: Some(self.labels()),
            ..body
        };
        self.shared
            .client
            .create_container(Some(options), body)
            .await
            .map_err(engine(format!("create a container for `{}`", self.action)))?;
        Ok(name)
    }

    /// Keeps a container when this scope ends.
    pub(crate) fn keep_container(&mut self, name: &str) {
        self.containers.retain(|container| container != name);
    }

    /// Removes one container before the end.
    pub(crate) async fn remove_container(&mut self, name: &str) {
        remove_containers(&self.shared, &[name.to_owned()]).await;
        self.containers.retain(|container| container != name);
    }

    /// Removes everything. What cannot be removed is left to the next run's sweep: it is no reason to fail work
    /// that is done.
    pub(crate) async fn close(mut self) {
        let (containers, volumes) = self.take();
        remove(&self.shared, &containers, &volumes).await;
    }

    fn take(&mut self) -> (Vec<String>, Vec<String>) {
        (
            std::mem::take(&mut self.containers),
            std::mem::take(&mut self.volumes),
        )
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let (containers, volumes) = self.take();
        if containers.is_empty() && volumes.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let work = async move { remove(&shared, &containers, &volumes).await };
            drop(self.shared.tasks.spawn_on(work, &runtime));
        }
    }
}

/// Removes containers, running or not, then volumes. Returns how many of both are gone.
pub(crate) async fn remove(shared: &Shared, containers: &[String], volumes: &[String]) -> usize {
    let mut removed = remove_containers(shared, containers).await;
    let options = RemoveVolumeOptionsBuilder::new().force(true).build();
    let requests = volumes
        .iter()
        .map(|name| shared.client.remove_volume(name, Some(options.clone())));
    removed += join_all(requests).await.iter().flatten().count();
    removed
}

async fn remove_containers(shared: &Shared, names: &[String]) -> usize {
    let requests = names.iter().map(|name| remove_container(shared, name));
    let removed = join_all(requests).await.into_iter();
    removed.filter(|is_removed| *is_removed).count()
}

async fn remove_container(shared: &Shared, name: &str) -> bool {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    let mut pauses = PAUSES.into_iter().map(Duration::from_millis);
    loop {
        let removed = shared.client.remove_container(name, Some(options.clone()));
        match (removed.await, pauses.next()) {
            (Ok(()), _) => return true,
            (Err(error), Some(pause)) if is_inability(&error) => tokio::time::sleep(pause).await,
            (Err(_), _) => return false,
        }
    }
}
