//! Pushing the image of a wheelhouse.

use std::sync::Arc;

use wheelfarm_coordinator::ImageName;
use wheelfarm_executor::Docker;

use super::Wanted;
use crate::docker_login;
use crate::exit::Failure;

/// Pushes `name`, which the engine has; the digest by which the registry knows it.
pub(super) async fn push(
    wanted: Wanted<'_>,
    docker: &Docker,
    name: &ImageName,
) -> Result<Option<String>, Failure> {
    let registry = name.registry().to_owned();
    let asked = registry.clone();
    let login = tokio::task::spawn_blocking(move || docker_login::login(&asked)).await;
    let login = login.map_err(|error| Failure::machine(error.to_string()))??;
    let printer = wanted.printer;
    let progress = Arc::new(move |line: &str| printer.note(line));
    let pushed = docker.push(
        name.repository(),
        name.tag(),
        &registry,
        login,
        progress,
        wanted.cancel,
    );
    Ok(pushed.await?)
}
