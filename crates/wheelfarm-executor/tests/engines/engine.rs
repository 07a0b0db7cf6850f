//! An engine with a runs directory of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, ActionResult, ExecutorError, Exit, Limits, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageFacts};
use wheelfarm_executor::{
    Docker, DockerSettings, HostNetwork, ImageRole, Launcher, Sandbox, SandboxSettings, no_login,
};
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use crate::tested::Tested;

/// What runs the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Docker,
    Podman,
    /// Podman of an ordinary user, whoever runs the tests.
    RootlessPodman,
    /// As whoever runs the tests.
    Sandbox,
}

pub(crate) struct Engine {
    pub(crate) kind: Kind,
    pub(crate) tested: Tested,
    pub(crate) store: Store,
    pub(crate) runtime: ImageFacts,
    pub(crate) runs: TempDir,
    /// Runs of this test in the sandbox, whose directory all tests share.
    pub(crate) sandbox_runs: Mutex<BTreeSet<String>>,
}

/// The runtime image of each kind.
static RUNTIMES: [OnceCell<ImageFacts>; 4] = [const { OnceCell::const_new() }; 4];

impl Kind {
    /// Where the engine listens, if it is one that does: the `DOCKER_HOST` of it.
    pub(crate) fn host(self) -> Option<String> {
        match self {
            Self::Docker => variable("DOCKER_HOST"),
            Self::Podman => variable("WHEELFARM_TEST_PODMAN"),
            Self::RootlessPodman => variable("WHEELFARM_TEST_ROOTLESS_PODMAN"),
            Self::Sandbox => None,
        }
    }

    fn is_asked_for(self) -> bool {
        match self {
            Self::Docker => is_on("WHEELFARM_TEST_DOCKER"),
            Self::Podman | Self::RootlessPodman => self.host().is_some(),
            Self::Sandbox => is_on("WHEELFARM_TEST_DOCKER") || is_on("WHEELFARM_TEST_SANDBOX"),
        }
    }

    /// Whether containers are held to limits as a whole. Where cgroups are of version 1, ordinary users may not use them:
    /// their Podman holds to none then, and their sandbox bounds each process.
    pub(crate) fn has_cgroups(self) -> bool {
        let ordinary = match self {
            Self::Docker | Self::Podman => false,
            Self::RootlessPodman => true,
            Self::Sandbox => user() != 0,
        };
        !ordinary || Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
    }

    /// An executor of this kind whose run is in `runs`.
    pub(crate) async fn connect(
        self,
        runs: &Path,
        store: &Store,
        network: HostNetwork,
    ) -> Result<Tested, ExecutorError> {
        let store = store.clone();
        if self != Self::Sandbox {
            let settings = DockerSettings {
                host: self.host(),
                runs_dir: runs.to_owned(),
                store,
                network,
            };
            return Docker::connect(settings).await.map(Tested::Docker);
        }
        let launcher = variable("WHEELFARM_TEST_LAUNCHER");
        let launcher =
            launcher.unwrap_or_else(|| env!("CARGO_BIN_EXE_sandbox-launcher").to_owned());
        let settings = SandboxSettings {
            // Shared by all, as images are dear to make.
            directory: std::env::temp_dir().join(format!("wheelfarm-test-sandbox-{}", user())),
            store,
            network,
            launcher: Launcher {
                program: launcher.into(),
                arguments: Vec::new(),
            },
            registry_login: no_login(),
        };
        Sandbox::connect(settings).await.map(Tested::Sandbox)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test is its own program: it reads what it is told"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_on(name: &str) -> bool {
    variable(name).is_some_and(|value| value == "1")
}

/// The user that runs the tests.
fn user() -> u32 {
    fs_err::metadata("/proc/self").unwrap().uid()
}

pub(crate) fn debian() -> (Catalogue, BuilderImage) {
    let catalogue = Catalogue::builtin(Arch::X86_64);
    let image = catalogue.get("debian-12").unwrap().clone();
    (catalogue, image)
}

async fn runtime(tested: &Tested) -> ImageFacts {
    let (catalogue, image) = debian();
    let role = ImageRole::Runtime;
    if let Some(facts) = tested.find_image(&image, role).await.unwrap() {
        return facts;
    }
    let recipe = &catalogue.debian_recipe;
    let cancel = CancellationToken::new();
    tested
        .build_debian(&image, recipe, role, quiet(), &cancel)
        .await
        .unwrap()
}

pub(crate) fn quiet() -> LogSink {
    Arc::new(|_| {})
}

/// A sink that keeps lines, and calls `on_line` with each.
pub(crate) fn lines(
    on_line: impl Fn(&str) + Send + Sync + 'static,
) -> (LogSink, Arc<Mutex<Vec<String>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kept);
    let sink: LogSink = Arc::new(move |line| {
        seen.lock().unwrap().push(line.to_owned());
        on_line(line);
    });
    (sink, kept)
}

impl Engine {
    /// One of this kind, or `None` where it was not asked for.
    #[allow(clippy::print_stderr, reason = "a test says when it is off")]
    pub(crate) async fn of(kind: Kind) -> Option<Self> {
        if !kind.is_asked_for() {
            eprintln!("skipped: nobody asked for {kind:?}");
            return None;
        }
        let runs = tempfile::tempdir().unwrap();
        let store = Store::open("memory:").await.unwrap();
        let connected = kind.connect(runs.path(), &store, HostNetwork::default());
        let tested = connected.await.unwrap();
        let cell = RUNTIMES.get(kind as usize).unwrap();
        let runtime = cell.get_or_init(|| runtime(&tested)).await.clone();
        let sandbox_runs = tested.sandbox_run().into_iter().collect();
        Some(Self {
            kind,
            tested,
            store,
            runtime,
            runs,
            sandbox_runs: Mutex::new(sandbox_runs),
        })
    }

    /// Connects anew, with this network.
    pub(crate) async fn reconnect(&mut self, network: HostNetwork) {
        let connected = self.kind.connect(self.runs.path(), &self.store, network);
        self.tested = connected.await.unwrap();
        self.watch(self.tested.sandbox_run());
    }

    /// Counts another run among those of this test.
    pub(crate) fn watch(&self, sandbox_run: Option<String>) {
        self.sandbox_runs.lock().unwrap().extend(sandbox_run);
    }

    /// An action that runs `script` in a shell, with limits that no test reaches by accident.
    pub(crate) fn action(&self, script: &str) -> Action {
        Action {
            name: "test".to_owned(),
            image: self.runtime.id.clone(),
            inputs: BTreeMap::new(),
            tools: BTreeMap::new(),
            trees: BTreeMap::new(),
            command: ["sh", "-c", script].map(str::to_owned).into(),
            environment: BTreeMap::new(),
            network: false,
            keep_failed: false,
            compiler_cache: None,
            cores: None,
            limits: Limits {
                cores: 64.0,
                memory: 256 << 20,
                pids: 64,
                time: Duration::from_secs(60),
                scratch: 128 << 20,
                output: 1 << 20,
                log: 1 << 20,
            },
        }
    }

    pub(crate) async fn run(&self, action: &Action) -> Result<ActionResult, ExecutorError> {
        let cancel = CancellationToken::new();
        let executor = self.tested.executor();
        let result = executor.run(action, quiet().into(), &cancel).await;
        self.assert_clean().await;
        result
    }

    /// Runs `script`, which must succeed, and returns its log.
    pub(crate) async fn log_of(&self, action: &Action) -> String {
        let result = self.run(action).await.unwrap();
        let log = String::from_utf8(result.log.to_vec()).unwrap();
        assert_eq!(result.exit, Exit::Code(0), "{log}");
        log
    }
}
