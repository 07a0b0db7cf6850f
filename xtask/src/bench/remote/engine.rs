//! The two engines, and a client of each.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, ActionResult, Exit, LogSink};
use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_tests::anyhow::{Context, Result, bail, ensure};
use wheelfarm_tests::remote_execution::{Casd, Client, Cluster};
use wheelfarm_types::Arch;

use super::measure::noise;

/// The builder image in whose bare runtime actions run: that of [`Client`].
const IMAGE: &str = "debian-13";
/// Files that a build typically has: its source, what it requires, scripts, tools.
pub(super) const FILES: usize = 12;
/// Bytes of each. What is measured does not depend on it, since they are sent before.
pub(super) const FILE_SIZE: usize = 64 << 10;
/// How long an action may run.
const TIME: Duration = Duration::from_secs(120);

/// A server of Remote Execution.
pub(super) enum Engine {
    Casd(Casd),
    BuildGrid(Cluster),
}

impl Engine {
    pub(super) fn casd() -> Result<Self> {
        Ok(Self::Casd(Casd::start()?))
    }

    pub(super) fn buildgrid() -> Result<Self> {
        Ok(Self::BuildGrid(Cluster::start("bench")?))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Casd(_) => "casd",
            Self::BuildGrid(_) => "BuildGrid",
        }
    }

    pub(super) fn address(&self) -> String {
        match self {
            Self::Casd(server) => server.address(),
            Self::BuildGrid(cluster) => cluster.address(),
        }
    }

    /// The same address for who is in a container beside it.
    pub(super) fn address_inside(&self) -> &'static str {
        match self {
            Self::Casd(_) => "http://127.0.0.1:50061",
            Self::BuildGrid(_) => "http://buildgrid:50051",
        }
    }

    /// Runs a program of buildbox in such a container; what it printed.
    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        match self {
            Self::Casd(server) => server.run(words),
            Self::BuildGrid(cluster) => cluster.run(words),
        }
    }

    /// Properties that every action must have.
    pub(super) fn properties(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Casd(_) => Vec::new(),
            Self::BuildGrid(_) => Cluster::properties().to_vec(),
        }
    }
}

/// The executor as it builds wheels, on one engine.
pub(super) struct Ours {
    pub(super) client: Client,
    /// What the engine calls the root file system: `HASH/SIZE`.
    pub(super) root: String,
    inputs: BTreeMap<String, wheelfarm_types::Digest>,
}

impl Ours {
    /// Connects, and sends the root file system and the inputs of all actions.
    pub(super) async fn connect(engine: &Engine) -> Result<Self> {
        let properties = engine.properties();
        let client = Client::connect(&engine.address(), &properties, TIME).await?;
        let arch = Arch::host().context("this machine has no wheels")?;
        let catalogue = Catalogue::builtin(arch);
        let image = catalogue.get(IMAGE).context("no such image")?;
        let log: LogSink = std::sync::Arc::new(|_| {});
        let sent = client
            .reapi
            .push_runtime(image, log, &CancellationToken::new())
            .await?;
        let mut inputs = BTreeMap::new();
        for (number, file) in files().into_iter().enumerate() {
            let digest = client.store.put(file.into()).await?;
            inputs.insert(format!("file-{number}"), digest);
        }
        Ok(Self {
            client,
            root: sent.id,
            inputs,
        })
    }

    /// An action with [`FILES`] inputs; another one for each `number`.
    pub(super) async fn action(&self, script: &str, number: usize) -> Result<Action> {
        let mut action = self.client.script(script, "", TIME).await?;
        action.inputs.clone_from(&self.inputs);
        action
            .environment
            .insert("NUMBER".to_owned(), number.to_string());
        Ok(action)
    }

    /// Runs an action, which has to succeed: now, or as the action cache has it.
    pub(super) async fn run(&self, action: &Action, cached: bool) -> Result<ActionResult> {
        let result = self.client.run(action).await?;
        ensure!(
            result.exit == Exit::Code(0),
            "it ended with {:?}: {}",
            result.exit,
            String::from_utf8_lossy(&result.log)
        );
        match &result.execution {
            Some(execution) if execution.cached == cached => Ok(result),
            _ => bail!("it should be cached: {cached}; {:?}", result.execution),
        }
    }
}

/// The content of the inputs.
pub(super) fn files() -> Vec<Vec<u8>> {
    (0..FILES)
        .map(|number| noise(FILE_SIZE, number as u64))
        .collect()
}
