//! What runs builds: a Docker engine, a Remote Execution cluster, or nothing.

use std::sync::Arc;

use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::{Environments, Executor};
use wheelfarm_executor::reapi::Reapi;
use wheelfarm_executor::{Docker, DockerSettings, HostNetwork};

use crate::config::{Config, ExecutorChoice};
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
    /// A Remote Execution cluster.
    Reapi(Arc<Reapi>),
    /// Nothing, where nothing is to be run.
    None(Arc<NoEngine>),
}

impl Engine {
    /// What the configuration and the command line choose.
    pub(crate) async fn open(
        places: &Places,
        config: &Config,
        network: HostNetwork,
    ) -> Result<Self, Failure> {
        match config.farm.executor.unwrap_or_default() {
            ExecutorChoice::Auto | ExecutorChoice::Docker => {
                let docker = docker(places, network).await?;
                Ok(Self::Docker(Arc::new(docker)))
            }
            ExecutorChoice::Reapi => {
                let reapi = reapi(places, config, network).await?;
                Ok(Self::Reapi(Arc::new(reapi)))
            }
        }
    }

    /// One that can do nothing.
    pub(crate) fn none() -> Self {
        Self::None(Arc::new(NoEngine))
    }

    pub(crate) fn executor(&self) -> Arc<dyn Executor> {
        match self {
            Self::Docker(docker) => Arc::clone(docker) as _,
            Self::Reapi(reapi) => Arc::clone(reapi) as _,
            Self::None(none) => Arc::clone(none) as _,
        }
    }

    pub(crate) fn environments(&self) -> Arc<dyn Environments> {
        match self {
            Self::Docker(docker) => Arc::clone(docker) as _,
            Self::Reapi(reapi) => Arc::clone(reapi) as _,
            Self::None(none) => Arc::clone(none) as _,
        }
    }

    /// Waits until what it made for this run is removed.
    pub(crate) async fn close(&self) {
        match self {
            Self::Docker(docker) => docker.close().await,
            Self::Reapi(reapi) => reapi.close().await,
            Self::None(_) => {}
        }
    }
}

/// Connects to the Docker engine and removes what killed runs left there.
pub(crate) async fn docker(places: &Places, network: HostNetwork) -> Result<Docker, Failure> {
    let docker = connect(places, network).await?;
    docker.sweep().await?;
    Ok(docker)
}

async fn connect(
    places: &Places,
    network: HostNetwork,
) -> Result<Docker, wheelfarm_build::ExecutorError> {
    Docker::connect(DockerSettings {
        host: variable("DOCKER_HOST"),
        runs_dir: places.cache.join("runs"),
        store: places.store.clone(),
        network,
    })
    .await
}

/// Connects to the cluster, and to the Docker engine if there is one: only who makes environments needs it.
pub(crate) async fn reapi(
    places: &Places,
    config: &Config,
    network: HostNetwork,
) -> Result<Reapi, Failure> {
    let settings = remote::settings(&config.remote)?;
    let docker = match connect(places, network).await {
        Ok(docker) => {
            docker.sweep().await?;
            Some(docker)
        }
        Err(error) if error.kind == ExecutorErrorKind::EngineUnavailable => None,
        Err(error) => return Err(error.into()),
    };
    let store = places.store.clone();
    Ok(Reapi::connect(settings, store, docker, places.cache.clone()).await?)
}
