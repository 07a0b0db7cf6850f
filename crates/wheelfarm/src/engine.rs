//! What runs builds: a Docker engine, the sandbox, a Remote Execution cluster, or nothing.

use std::path::Path;
use std::sync::Arc;

use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::{Environments, Executor, ExecutorError};
use wheelfarm_executor::reapi::Reapi;
use wheelfarm_executor::sandbox::{Launcher, Sandbox, SandboxSettings};
use wheelfarm_executor::{Docker, DockerSettings, HostNetwork};
use wheelfarm_store::Store;

use crate::config::{Config, ExecutorChoice};
use crate::docker_login;
use crate::environment::variable;
use crate::exit::Failure;
use crate::no_engine::NoEngine;
use crate::remote;
use crate::settings::Places;

/// What runs builds. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// The Docker engine that `DOCKER_HOST` names.
    Docker(Arc<Docker>),
    /// Containers of our own.
    Sandbox(Arc<Sandbox>),
    /// A Remote Execution cluster.
    Reapi(Arc<Reapi>),
    /// Nothing, where nothing is to be run.
    None(Arc<NoEngine>),
}

impl Engine {
    /// What the configuration and the command line choose; a line says which it is, and why if nobody chose.
    pub(crate) async fn open(
        places: &Places,
        config: &Config,
        network: HostNetwork,
    ) -> Result<(Self, String), Failure> {
        let choice = config.farm.executor.unwrap_or_default();
        let chosen = || "as chosen".to_owned();
        let (engine, why) = match choice {
            ExecutorChoice::Auto => there_is(places, network).await?,
            ExecutorChoice::Docker => {
                let docker = docker(places, network).await?;
                (Self::Docker(Arc::new(docker)), chosen())
            }
            ExecutorChoice::Sandbox => {
                let sandbox = swept_sandbox(places, network).await?;
                (Self::Sandbox(Arc::new(sandbox)), chosen())
            }
            ExecutorChoice::Reapi => {
                let reapi = reapi(places, config, network).await?;
                (Self::Reapi(Arc::new(reapi)), chosen())
            }
        };
        let line = format!("{}: {why}", engine.place(config));
        Ok((engine, line))
    }

    /// What builds run in, for people.
    fn place(&self, config: &Config) -> String {
        match self {
            Self::Docker(_) => format!("builds run in containers of {}", docker_host()),
            Self::Sandbox(sandbox) => format!("builds run in the sandbox ({})", sandbox.machine()),
            Self::Reapi(_) => {
                let endpoint = config.remote.endpoint.as_deref().unwrap_or_default();
                format!("builds run on the cluster at {endpoint}")
            }
            Self::None(_) => "nothing is run".to_owned(),
        }
    }

    /// One that can do nothing.
    pub(crate) fn none() -> Self {
        Self::None(Arc::new(NoEngine))
    }

    pub(crate) fn executor(&self) -> Arc<dyn Executor> {
        match self {
            Self::Docker(docker) => Arc::clone(docker) as _,
            Self::Sandbox(sandbox) => Arc::clone(sandbox) as _,
            Self::Reapi(reapi) => Arc::clone(reapi) as _,
            Self::None(none) => Arc::clone(none) as _,
        }
    }

    pub(crate) fn environments(&self) -> Arc<dyn Environments> {
        match self {
            Self::Docker(docker) => Arc::clone(docker) as _,
            Self::Sandbox(sandbox) => Arc::clone(sandbox) as _,
            Self::Reapi(reapi) => Arc::clone(reapi) as _,
            Self::None(none) => Arc::clone(none) as _,
        }
    }

    /// Waits until what it made for this run is removed.
    pub(crate) async fn close(&self) {
        match self {
            Self::Docker(docker) => docker.close().await,
            Self::Sandbox(sandbox) => sandbox.close().await,
            Self::Reapi(reapi) => reapi.close().await,
            Self::None(_) => {}
        }
    }
}

/// Docker if it answers, else the sandbox; and why.
async fn there_is(places: &Places, network: HostNetwork) -> Result<(Engine, String), Failure> {
    let absent = match docker_if_it_answers(places, network.clone()).await? {
        Ok(docker) => return Ok((Engine::Docker(Arc::new(docker)), "it answers".to_owned())),
        Err(absent) => absent,
    };
    match sandbox(&places.sandbox, places.store.clone(), network).await {
        Ok(sandbox) => {
            sandbox.sweep().await?;
            Ok((Engine::Sandbox(Arc::new(sandbox)), absent.message))
        }
        Err(error) if error.kind == ExecutorErrorKind::EngineUnavailable => {
            Err(nothing(&absent.message, &error.message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Nothing here can run builds: one line, with the ways out.
fn nothing(docker: &str, sandbox: &str) -> Failure {
    Failure::machine(format!(
        "nothing on this machine can run builds: {docker}; {sandbox}. Three ways out: start Docker or Podman and name \
         its socket in DOCKER_HOST; allow user namespaces, or run as root, for the sandbox; or name a Remote Execution \
         cluster with `--executor reapi --endpoint URL`"
    ))
}

/// The sandbox in `directory`.
pub(crate) async fn sandbox(
    directory: &Path,
    store: Store,
    network: HostNetwork,
) -> Result<Sandbox, ExecutorError> {
    Sandbox::connect(SandboxSettings {
        directory: directory.to_owned(),
        store,
        network,
        // Whatever has become of the file that it was started from.
        launcher: Launcher {
            program: "/proc/self/exe".into(),
            arguments: ["sandbox", "launch"].map(str::to_owned).into(),
        },
        registry_login: Arc::new(|registry| {
            docker_login::login(registry).map_err(|failure| failure.message)
        }),
    })
    .await
}

/// The sandbox, with what killed runs left removed.
pub(crate) async fn swept_sandbox(
    places: &Places,
    network: HostNetwork,
) -> Result<Sandbox, Failure> {
    let sandbox = sandbox(&places.sandbox, places.store.clone(), network).await?;
    sandbox.sweep().await?;
    Ok(sandbox)
}

/// Connects to the Docker engine and removes what killed runs left there.
pub(crate) async fn docker(places: &Places, network: HostNetwork) -> Result<Docker, Failure> {
    Ok(docker_if_it_answers(places, network).await??)
}

/// The same, where it is no failure if there is no engine: then why there is none.
async fn docker_if_it_answers(
    places: &Places,
    network: HostNetwork,
) -> Result<Result<Docker, ExecutorError>, Failure> {
    match connect(places, network).await {
        Ok(docker) => {
            docker.sweep().await?;
            Ok(Ok(docker))
        }
        Err(error) if error.kind == ExecutorErrorKind::EngineUnavailable => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}

async fn connect(places: &Places, network: HostNetwork) -> Result<Docker, ExecutorError> {
    Docker::connect(DockerSettings {
        host: variable("DOCKER_HOST"),
        runs_dir: places.cache.join("runs"),
        store: places.store.clone(),
        network,
    })
    .await
}

/// The engine by its address, for people.
fn docker_host() -> String {
    variable("DOCKER_HOST").map_or_else(
        || "the Docker engine".to_owned(),
        |host| format!("the engine at {host}"),
    )
}

/// Connects to the cluster, and to the Docker engine if there is one: only who makes environments needs it.
pub(crate) async fn reapi(
    places: &Places,
    config: &Config,
    network: HostNetwork,
) -> Result<Reapi, Failure> {
    let settings = remote::settings(&config.remote)?;
    let docker = docker_if_it_answers(places, network).await?.ok();
    let store = places.store.clone();
    Ok(Reapi::connect(settings, store, docker, places.cache.clone()).await?)
}
