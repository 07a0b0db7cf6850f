//! The ways to start a container that are measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, Executor, Exit, Limits};
use wheelfarm_build::catalogue::{BuilderImage, Catalogue};
use wheelfarm_executor::{
    Docker, DockerSettings, HostNetwork, ImageRole, Launcher, Sandbox, SandboxSettings, no_login,
};
use wheelfarm_store::Store;
use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::engines::give_images;
use wheelfarm_tests::environment::{architecture, binary};
use wheelfarm_tests::process::run;
use wheelfarm_types::Arch;

use crate::engines::Podmen;

/// The image that all of them use.
const IMAGE: &str = "debian-12";
/// Runs a container with nothing around it but what this runtime needs: some versions refuse control groups of two kinds.
const BARE: &str = "mount -t tmpfs tmpfs /sys/fs/cgroup
exec crun --cgroup-manager=disabled --root state run --bundle bundle \"$0\"";

/// One way to run `true` in a container.
pub(super) struct Way {
    pub(super) name: String,
    how: How,
}

enum How {
    Command(Command),
    Bare {
        place: TempDir,
        turn: usize,
    },
    Executor {
        executor: Arc<dyn Executor>,
        action: Box<Action>,
        /// Locks lie there.
        _runs: Option<TempDir>,
    },
}

impl Way {
    /// Goes it once.
    pub(super) async fn go(&mut self) -> Result<()> {
        match &mut self.how {
            How::Command(command) => run(command).map(drop),
            How::Bare { place, turn } => {
                *turn += 1;
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "sh", "-c", BARE])
                    .arg(format!("bench-{turn}"))
                    .current_dir(place.path());
                run(&mut command).map(drop)
            }
            How::Executor {
                executor, action, ..
            } => {
                let cancel = CancellationToken::new();
                let log: wheelfarm_build::action::LogSink = Arc::new(|_: &str| {});
                let ended = executor.run(action, log.into(), &cancel).await?;
                ensure!(ended.exit == Exit::Code(0), "{:?}", ended.exit);
                Ok(())
            }
        }
    }
}

/// Those of root, and rootless Podman.
pub(super) async fn of_root(podmen: &Podmen) -> Result<Vec<Way>> {
    let name = format!("wheelfarm/{IMAGE}-runtime:{}", architecture());
    let way = |name: &str, how| Way {
        name: name.to_owned(),
        how,
    };
    let shared = wheelfarm_tests::sandbox::Sandbox::shared()?.directory();
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--network", "none", &name, "true"]);
    let mut ways = vec![way("`docker run`", How::Command(docker))];
    let [root, rootless] = podmen.hosts();
    for (host, user) in [(&root, "root"), (&rootless, "ordinary user")] {
        give_images(&Engine::at(host))?;
        let mut podman = Command::new("podman");
        podman.args([
            "--remote",
            "--url",
            host,
            "run",
            "--rm",
            "--network",
            "none",
        ]);
        podman.args([&name, "true"]);
        ways.push(way(&format!("`podman run`, {user}"), How::Command(podman)));
    }
    ways.push(way("`crun run` alone", bare(shared).await?));
    for (host, name) in [
        (None, "`Executor::run`, Docker"),
        (Some(root), "`Executor::run`, Podman"),
        (Some(rootless), "`Executor::run`, Podman, ordinary user"),
    ] {
        ways.push(way(name, behind_docker(host).await?));
    }
    ways.push(sandbox(shared.to_owned(), binary()?).await?);
    Ok(ways)
}

/// The sandbox in `directory`, which has the image; of whoever runs this.
pub(super) async fn sandbox(directory: PathBuf, program: PathBuf) -> Result<Way> {
    let sandbox = connect(directory, program).await?;
    let image = image()?;
    let found = sandbox.find_image(&image, ImageRole::Runtime).await?;
    let found = found.context("the sandbox has no such image")?;
    Ok(Way {
        name: "`Executor::run`, sandbox".to_owned(),
        how: How::Executor {
            executor: Arc::new(sandbox),
            action: Box::new(action(found.id)),
            _runs: None,
        },
    })
}

async fn connect(directory: PathBuf, program: PathBuf) -> Result<Sandbox> {
    let settings = SandboxSettings {
        directory,
        store: Store::open("memory:").await?,
        network: HostNetwork::default(),
        launcher: Launcher {
            program,
            arguments: ["sandbox", "launch"].map(str::to_owned).into(),
        },
        registry_login: no_login(),
    };
    Ok(Sandbox::connect(settings).await?)
}

async fn behind_docker(host: Option<String>) -> Result<How> {
    let runs = tempfile::tempdir()?;
    let docker = Docker::connect(DockerSettings {
        host,
        runs_dir: runs.path().to_owned(),
        store: Store::open("memory:").await?,
        network: HostNetwork::default(),
    });
    let docker = docker.await?;
    let found = docker.find_image(&image()?, ImageRole::Runtime).await?;
    let found = found.context("the engine has no such image")?;
    Ok(How::Executor {
        executor: Arc::new(docker),
        action: Box::new(action(found.id)),
        _runs: Some(runs),
    })
}

/// A bundle of the sandbox's image.
async fn bare(sandbox: &Path) -> Result<How> {
    let connected = connect(sandbox.to_owned(), binary()?).await?;
    let found = connected.find_image(&image()?, ImageRole::Runtime).await?;
    let id = found.context("the sandbox has no such image")?.id;
    let id = id.rsplit(':').next().unwrap_or_default();
    let place = tempfile::tempdir()?;
    let bundle = place.path().join("bundle");
    fs_err::create_dir(&bundle)?;
    run(Command::new("crun").arg("spec").current_dir(&bundle))?;
    let file = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs_err::read(&file)?)?;
    let root = sandbox.join("images").join(id).join("root");
    config["root"] = json!({ "path": root, "readonly": true });
    config["process"]["args"] = json!(["true"]);
    config["process"]["terminal"] = json!(false);
    // Control groups are not there.
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["type"] != "cgroup");
    }
    fs_err::write(&file, config.to_string())?;
    Ok(How::Bare { place, turn: 0 })
}

fn image() -> Result<BuilderImage> {
    let catalogue = Catalogue::builtin(Arch::X86_64);
    let image = catalogue
        .get(IMAGE)
        .context("the catalogue has no such image")?;
    Ok(image.clone())
}

fn action(image: String) -> Action {
    Action {
        name: "bench".to_owned(),
        image,
        inputs: BTreeMap::new(),
        tools: BTreeMap::new(),
        trees: BTreeMap::new(),
        command: vec!["true".to_owned()],
        environment: BTreeMap::new(),
        network: false,
        keep_failed: false,
        compiler_cache: None,
        cores: None,
        limits: Limits {
            cores: 2.0,
            memory: 256 << 20,
            pids: 64,
            time: Duration::from_secs(60),
            scratch: 64 << 20,
            output: 1 << 20,
            log: 1 << 20,
        },
    }
}
