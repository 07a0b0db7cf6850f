//! An engine with a runs directory of its own, and what is left there.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{
    Action, ActionResult, Executor, ExecutorError, Exit, Limits, LogSink,
};
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageFacts};
use wheelfarm_executor::{Docker, DockerSettings, HostNetwork, ImageRole};
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

pub(crate) struct Engine {
    pub(crate) docker: Docker,
    pub(crate) store: Store,
    pub(crate) runtime: ImageFacts,
    pub(crate) runs: TempDir,
}

static RUNTIME: OnceCell<ImageFacts> = OnceCell::const_new();

/// A connected engine, or `None` where tests with containers were not asked for.
pub(crate) async fn engine() -> Option<Engine> {
    if !asked_for("WHEELFARM_TEST_DOCKER") {
        return None;
    }
    let runs = tempfile::tempdir().unwrap();
    let store = Store::open("memory:").await.unwrap();
    let docker = connect(runs.path(), &store).await;
    let runtime = RUNTIME.get_or_init(|| runtime(&docker)).await.clone();
    Some(Engine {
        docker,
        store,
        runtime,
        runs,
    })
}

pub(crate) async fn connect(runs: &Path, store: &Store) -> Docker {
    let settings = DockerSettings {
        host: host(),
        runs_dir: runs.to_owned(),
        store: store.clone(),
        network: HostNetwork::default(),
    };
    Docker::connect(settings).await.unwrap()
}

#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test is its own program: it reads its switch and says when it is off"
)]
fn asked_for(variable: &str) -> bool {
    let asked = std::env::var_os(variable).is_some_and(|value| value == "1");
    if !asked {
        eprintln!("skipped: set {variable}=1 to run it");
    }
    asked
}

pub(crate) fn debian() -> (Catalogue, BuilderImage) {
    let catalogue = Catalogue::builtin(Arch::X86_64);
    let image = catalogue.get("debian-12").unwrap().clone();
    (catalogue, image)
}

async fn runtime(docker: &Docker) -> ImageFacts {
    let (catalogue, image) = debian();
    let role = ImageRole::Runtime;
    if let Some(facts) = docker.find_image(&image, role).await.unwrap() {
        return facts;
    }
    let recipe = &catalogue.debian_recipe;
    let cancel = CancellationToken::new();
    docker
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
        let result = self
            .docker
            .run(action, quiet().into(), &CancellationToken::new())
            .await;
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

    /// Nothing of this test's runs is in the engine, tools aside.
    pub(crate) async fn assert_clean(&self) {
        // What downloads share is kept until then.
        self.docker.close().await;
        let left = left(self.runs.path()).await;
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// Removes the tools as well.
    pub(crate) async fn remove_tools(&self) {
        let client = client();
        for volume in volumes(self.runs.path()).await {
            let options = RemoveVolumeOptionsBuilder::new().build();
            let removed = client.remove_volume(&volume.name, Some(options)).await;
            removed.unwrap();
        }
    }
}

pub(crate) fn client() -> bollard::Docker {
    let version = bollard::ClientVersion {
        major_version: 1,
        minor_version: 41,
    };
    bollard::Docker::connect_with_unix(
        &host().unwrap_or("unix:///var/run/docker.sock".into()),
        120,
        &version,
    )
    .unwrap()
}

/// Names of containers, and of volumes that are no tools, made by runs with lock files in `runs`.
pub(crate) async fn left(runs: &Path) -> Vec<String> {
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters(runs))
        .build();
    let containers = client().list_containers(Some(options)).await.unwrap();
    let mut left: Vec<_> = containers
        .into_iter()
        .flat_map(|container| container.names.unwrap_or_default())
        .collect();
    let volumes = volumes(runs).await.into_iter();
    left.extend(
        volumes
            .filter(|volume| !volume.labels.contains_key("wheelfarm.tool"))
            .map(|volume| volume.name),
    );
    left
}

pub(crate) async fn volumes(runs: &Path) -> Vec<bollard::models::Volume> {
    let options = ListVolumesOptionsBuilder::new()
        .filters(&filters(runs))
        .build();
    let listed = client().list_volumes(Some(options)).await.unwrap();
    listed.volumes.unwrap_or_default()
}

fn filters(runs: &Path) -> HashMap<&'static str, Vec<String>> {
    let identity = fs_err::read_to_string(runs.join("identity")).unwrap();
    HashMap::from([("label", vec![format!("wheelfarm.runs={identity}")])])
}

#[allow(clippy::disallowed_methods)]
pub(crate) fn host() -> Option<String> {
    std::env::var("DOCKER_HOST").ok()
}
