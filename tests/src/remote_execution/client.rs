//! The executor itself on a cluster, for actions that no build has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::Environments;
use wheelfarm_build::action::{
    Action, ActionResult, Executor, ExecutorError, Limits, Listener, Place,
};
use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_executor::reapi::{ImageMode, InputPlace, Reapi, ReapiSettings};
use wheelfarm_executor::{Docker, DockerSettings, HostNetwork};
use wheelfarm_reapi::{Settings, Tls};
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use crate::environment::{scratch_directory, variable};

/// The builder image in whose bare runtime actions run: the smallest.
const IMAGE: &str = "debian-13";

/// An executor with a store of its own, and an image to run actions in.
pub struct Client {
    /// The executor.
    pub reapi: Reapi,
    /// Its store, in memory.
    pub store: Store,
    image: String,
    _directory: TempDir,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?})", self.reapi)
    }
}

/// What is told of an action while it runs.
#[derive(Debug, Default)]
pub struct Places(Mutex<Vec<Place>>);

impl Places {
    /// All that was told so far.
    pub fn told(&self) -> Vec<Place> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells these.
    pub fn listener(self: &Arc<Self>) -> Listener {
        let places = Arc::clone(self);
        Listener {
            log: Arc::new(|_| {}),
            place: Arc::new(move |place| {
                let mut told = places.0.lock().unwrap_or_else(PoisonError::into_inner);
                told.push(place);
            }),
        }
    }
}

impl Client {
    /// Connects to `address`, with `properties` for every action; it may be away for as long as `patience` lasts. The
    /// image is sent.
    pub async fn connect(
        address: &str,
        properties: &[(&str, &str)],
        patience: Duration,
    ) -> Result<Self> {
        let directory = TempDir::new_in(scratch_directory()?)?;
        let store = Store::open("memory:").await?;
        let docker = Docker::connect(DockerSettings {
            host: variable("DOCKER_HOST"),
            runs_dir: directory.path().join("runs"),
            store: store.clone(),
            network: HostNetwork::default(),
        });
        let settings = ReapiSettings {
            connection: Settings {
                execution: address.to_owned(),
                storage: None,
                instance: String::new(),
                tls: Tls::default(),
                headers: Vec::new(),
                tool: ("wheelfarm-tests".to_owned(), "0".to_owned()),
                invocation: "test".to_owned(),
                uploads: 8,
                patience,
            },
            image_mode: ImageMode::Chroot {
                property: "chrootRootDigest".to_owned(),
            },
            inputs: InputPlace::Root,
            properties: properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            network_properties: BTreeMap::new(),
            registry_login: None,
            priority: 0,
            jobs: 16,
            cores: 1,
            queue_timeout: Duration::from_secs(300),
        };
        let docker = Some(docker.await?);
        let cache = directory.path().to_owned();
        let reapi = Reapi::connect(settings, store.clone(), docker, cache).await?;
        let arch = Arch::host().context("this machine has no wheels")?;
        let catalogue = Catalogue::builtin(arch);
        let image = catalogue.get(IMAGE).context("no such image")?;
        let image = reapi.runtime(image).await?.id;
        Ok(Self {
            reapi,
            store,
            image,
            _directory: directory,
        })
    }

    /// A shell script as an action, with `/in/input` holding `input`; it may run for `time`.
    pub async fn script(&self, script: &str, input: &str, time: Duration) -> Result<Action> {
        let input = self.store.put(input.to_owned().into()).await?;
        Ok(Action {
            name: "script".to_owned(),
            image: self.image.clone(),
            inputs: BTreeMap::from([("input".to_owned(), input)]),
            tools: BTreeMap::new(),
            trees: BTreeMap::new(),
            command: ["sh", "-euc", script].map(str::to_owned).into(),
            environment: BTreeMap::new(),
            network: false,
            keep_failed: false,
            compiler_cache: None,
            cores: None,
            limits: Limits {
                cores: 1.0,
                memory: 1 << 30,
                pids: 100,
                time,
                scratch: 1 << 30,
                output: 1 << 30,
                log: 1 << 20,
            },
        })
    }

    /// Runs an action to its end.
    pub async fn run(&self, action: &Action) -> Result<ActionResult, ExecutorError> {
        let places = Arc::new(Places::default());
        self.watched(action, &places).await
    }

    /// As [`Self::run`], with what is told of it.
    pub async fn watched(
        &self,
        action: &Action,
        places: &Arc<Places>,
    ) -> Result<ActionResult, ExecutorError> {
        self.reapi
            .run(action, places.listener(), &CancellationToken::new())
            .await
    }
}
