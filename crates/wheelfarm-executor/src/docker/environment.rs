//! Environments: a builder image plus system packages, as an image of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bollard::container::LogOutput;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, HostConfig, HostConfigLogConfig, ImageInspect, Mount,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CommitContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, ImageFacts};
use wheelfarm_build::environment::{
    EnvironmentRecipe, EnvironmentRecord, PreparedEnvironment, SystemPackage, manifest_digest,
};
use wheelfarm_types::Digest;

use crate::docker::error::engine;
use crate::docker::inputs::upload;
use crate::docker::package_cache;
use crate::docker::scope::Scope;
use crate::docker::{Docker, Shared};
use crate::error::{Result, cancelled, error};
use crate::log::Log;
use crate::output::Stdout;
use crate::packages::{self, LOG_SIZE, LibraryRoot, ROOT_SIZE, TIME, install};

/// The recipe's digest, on the image.
const LABEL_RECIPE: &str = "wheelfarm.recipe";
/// The manifest's digest, on the image.
const LABEL_MANIFEST: &str = "wheelfarm.manifest";
const REPOSITORY: &str = "wheelfarm/env";

impl Docker {
    /// The image of a recorded environment, if the engine has it with exactly these packages.
    pub async fn find_environment(&self, record: &EnvironmentRecord) -> Result<Option<String>> {
        self.find_made(&record.recipe, &record.manifest_digest())
            .await
    }

    /// The image of an environment that was made of `recipe`, if the engine has it with the packages of `manifest`.
    pub(crate) async fn find_made(
        &self,
        recipe: &EnvironmentRecipe,
        manifest: &Digest,
    ) -> Result<Option<String>> {
        let image = self.shared.inspect(&name(recipe)).await?;
        Ok(id_with(image.as_ref(), manifest))
    }

    /// Makes an environment: installs the recipe's packages over the builder image, with network and as root,
    /// and reads what was really installed.
    pub async fn make_environment(
        &self,
        image: &BuilderImage,
        facts: &ImageFacts,
        recipe: &EnvironmentRecipe,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<PreparedEnvironment> {
        install::check_names(recipe)?;
        let (base, recipe) = (facts.id.clone(), recipe.clone());
        let name = format!("environment of {}", image.name);
        self.supervise(cancel, |shared, cancel| async move {
            let mut scope = Scope::new(shared, name);
            let made = make(&mut scope, &base, &recipe, progress, &cancel).await;
            scope.close().await;
            made
        })
        .await
    }

    /// Installs the recipe's packages as [`Self::make_environment`] does, to read what is installed then; leaves
    /// nothing behind, and an environment that was made before as it is.
    pub async fn environment_outlook(
        &self,
        image: &BuilderImage,
        facts: &ImageFacts,
        recipe: &EnvironmentRecipe,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<Vec<SystemPackage>> {
        install::check_names(recipe)?;
        let (base, recipe) = (facts.id.clone(), recipe.clone());
        let name = format!("outlook of {}", image.name);
        self.supervise(cancel, |shared, cancel| async move {
            let mut scope = Scope::new(shared, name);
            let installed = install(&mut scope, &base, &recipe, progress, &cancel).await;
            scope.close().await;
            Ok(installed?.1.manifest)
        })
        .await
    }
}

/// The id of an image of an environment, if it has the packages of exactly this manifest.
fn id_with(image: Option<&ImageInspect>, manifest: &Digest) -> Option<String> {
    let image = image?;
    let found = image
        .config
        .as_ref()?
        .labels
        .as_ref()?
        .get(LABEL_MANIFEST)?;
    image.id.clone().filter(|_| *found == manifest.to_string())
}

fn name(recipe: &EnvironmentRecipe) -> String {
    format!("{REPOSITORY}:{}", tag(recipe))
}

async fn make(
    scope: &mut Scope,
    base: &str,
    recipe: &EnvironmentRecipe,
    progress: LogSink,
    cancel: &CancellationToken,
) -> Result<PreparedEnvironment> {
    let (container, LibraryRoot { manifest, tar }) =
        install(scope, base, recipe, progress, cancel).await?;
    Ok(PreparedEnvironment {
        image: commit(scope, &container, recipe, &manifest).await?,
        manifest,
        root: tar,
    })
}

/// Installs the package of a tool and copies it to the volume of `mount`; what the package manager said if that
/// failed.
pub(crate) async fn fill_tool(
    scope: &mut Scope,
    base: &str,
    recipe: &EnvironmentRecipe,
    mount: Mount,
    cancel: &CancellationToken,
) -> Result<Option<String>> {
    let packages = package_cache::mount(&scope.shared, base, recipe).await?;
    let target = mount.target.clone().unwrap_or_default();
    let mut body = body(base, recipe, packages);
    body.env = Some(vec![format!("WHEELFARM_TOOL={target}")]);
    if let Some(host) = &mut body.host_config {
        host.mounts.get_or_insert_default().push(mount);
    }
    let container = scope.container(body).await?;
    let files = install::files(&scope.shared.network)?;
    upload(scope, &container, "/tmp", files, cancel).await?;
    let mut stdout = Stdout::new(ROOT_SIZE);
    let mut log = Log::new(LOG_SIZE, Arc::new(|_: &str| {}));
    let run = run(scope, &container, &mut stdout, &mut log);
    let run = tokio::time::timeout(TIME, run);
    let ended = cancel
        .run_until_cancelled(run)
        .await
        .ok_or_else(|| cancelled(&scope.action))?;
    ended.unwrap_or_else(|_| Err(packages::too_slow(recipe)))?;
    Ok(packages::tool_failure(stdout, &log.finish()))
}

/// A container in which the packages are installed, and what is in it.
async fn install(
    scope: &mut Scope,
    base: &str,
    recipe: &EnvironmentRecipe,
    progress: LogSink,
    cancel: &CancellationToken,
) -> Result<(String, LibraryRoot)> {
    let packages = package_cache::mount(&scope.shared, base, recipe).await?;
    let container = scope.container(body(base, recipe, packages)).await?;
    let files = install::files(&scope.shared.network)?;
    upload(scope, &container, "/tmp", files, cancel).await?;
    let mut stdout = Stdout::new(ROOT_SIZE);
    let mut log = Log::new(LOG_SIZE, progress);
    let run = run(scope, &container, &mut stdout, &mut log);
    let run = tokio::time::timeout(TIME, run);
    let ended = cancel
        .run_until_cancelled(run)
        .await
        .ok_or_else(|| cancelled(&scope.action))?;
    ended.unwrap_or_else(|_| Err(packages::too_slow(recipe)))?;

    let root = packages::installed(recipe, stdout, &log.finish()).await?;
    Ok((container, root))
}

fn body(base: &str, recipe: &EnvironmentRecipe, packages: Option<Mount>) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(base.to_owned()),
        cmd: Some(install::command(recipe)),
        hostname: Some("wheelfarm".to_owned()),
        user: Some("0:0".to_owned()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            init: Some(true),
            mounts: packages.map(|mount| vec![mount]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".to_owned()),
                config: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

async fn run(scope: &Scope, container: &str, stdout: &mut Stdout, log: &mut Log) -> Result<()> {
    let shared = &scope.shared;
    let options = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdout(true)
        .stderr(true)
        .build();
    let mut attached = shared
        .client
        .attach_container(container, Some(options))
        .await
        .map_err(engine(format!("attach to the {}", scope.action)))?;
    shared
        .client
        .start_container(container, None)
        .await
        .map_err(engine(format!("start the {}", scope.action)))?;
    shared.count_start();
    while let Some(chunk) = attached.output.next().await {
        let chunk = chunk.map_err(engine(format!("send the output of the {}", scope.action)))?;
        match chunk {
            LogOutput::StdOut { message } => stdout.push(&message).map_err(|detail| {
                let message = format!(
                    "the library root of the {} was refused: {detail}",
                    scope.action
                );
                error(ExecutorErrorKind::Output, message)
            })?,
            other => log.push(other.as_ref()),
        }
    }
    // The output ends a moment before the container does, and a commit of a running one would pause it.
    let mut wait = std::pin::pin!(shared.client.wait_container(container, None));
    wait.next().await;
    Ok(())
}

/// Makes an image of the container, unless there is one with the same packages; returns its id. Builds with another
/// store may be about to use that one.
async fn commit(
    scope: &Scope,
    container: &str,
    recipe: &EnvironmentRecipe,
    manifest: &[SystemPackage],
) -> Result<String> {
    let shared = &scope.shared;
    let manifest = manifest_digest(manifest);
    let before = shared.inspect(&name(recipe)).await?;
    if let Some(id) = id_with(before.as_ref(), &manifest) {
        return Ok(id);
    }
    // A commit keeps the container's labels; a container made from the image would inherit them, and a sweep
    // would take it for one of ours.
    let mut labels: BTreeMap<String, String> = scope
        .labels()
        .into_keys()
        .map(|label| (label, String::new()))
        .collect();
    labels.insert(LABEL_RECIPE.to_owned(), recipe.digest().to_string());
    labels.insert(LABEL_MANIFEST.to_owned(), manifest.to_string());
    // Not as the configuration beside it, at which Podman does not look.
    let mut changes = "CMD [\"/bin/sh\"]".to_owned();
    for (label, value) in labels {
        write!(changes, "\nLABEL {label}=\"{value}\"").ok();
    }
    let options = CommitContainerOptionsBuilder::new()
        .container(container)
        .repo(REPOSITORY)
        .tag(&tag(recipe))
        .changes(&changes)
        .build();
    let committed = shared
        .transfer
        .commit_container(options, ContainerConfig::default())
        .await
        .map_err(engine(format!("make an image of the {}", scope.action)))?;
    // Podman leaves out the algorithm here, and nowhere else.
    let id = match committed.id {
        id if id.contains(':') => id,
        id => format!("sha256:{id}"),
    };
    let before = before.and_then(|image| image.id);
    forget(shared, before, &id).await;
    Ok(id)
}

/// Removes the image that had a name before another got it; one that is in use stays.
pub(crate) async fn forget(shared: &Arc<Shared>, old: Option<String>, new: &str) {
    if let Some(old) = old
        && old != new
    {
        let options = RemoveImageOptionsBuilder::new().build();
        shared
            .client
            .remove_image(&old, Some(options), None)
            .await
            .ok();
    }
}

fn tag(recipe: &EnvironmentRecipe) -> String {
    recipe.digest().to_string().chars().take(24).collect()
}
