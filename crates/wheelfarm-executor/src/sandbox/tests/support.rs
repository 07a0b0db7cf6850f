//! A machine that was probed, and containers on it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::error::Result;
use crate::sandbox::launch::{Bind, Bounds, Container, Ended, Launcher, Running, Tmpfs, Work};
use crate::sandbox::machine::Machine;

pub(super) struct Place {
    pub(super) machine: Machine,
    pub(super) directory: TempDir,
    /// What the names of its containers begin with.
    run: String,
}

#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test is its own program: it reads its switch and says when it is off"
)]
pub(in crate::sandbox) fn asked_for() -> bool {
    let variable = "WHEELFARM_TEST_DOCKER";
    let asked = std::env::var_os(variable).is_some_and(|value| value == "1");
    if !asked {
        eprintln!("skipped: set {variable}=1 to run it");
    }
    asked
}

/// The launcher lies beside the directory of the tests.
pub(in crate::sandbox) fn launcher() -> Launcher {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("sandbox-launcher");
    assert!(program.exists(), "`cargo build --bins` makes {program:?}");
    Launcher {
        program,
        arguments: Vec::new(),
    }
}

pub(super) async fn place() -> Option<Place> {
    if !asked_for() {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine::probe(&launcher(), directory.path(), "probed")
        .await
        .unwrap();
    let name = directory.path().file_name().unwrap().to_string_lossy();
    let run = format!("test-{}", name.trim_start_matches('.'));
    let place = Place {
        machine,
        directory,
        run,
    };
    place.make_layer();
    Some(place)
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A root with links into `/usr`, as distributions have them.
    fn make_layer(&self) {
        fs_err::set_permissions(self.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let layer = self.path().join("layer");
        for path in ["etc", "usr", "root"] {
            fs_err::create_dir_all(layer.join(path)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            let target = Path::new("usr").join(name);
            if Path::new("/").join(&target).exists() {
                fs_err::os::unix::fs::symlink(target, layer.join(name)).unwrap();
            }
        }
    }

    /// A container that runs `script` in a shell, as builds run.
    pub(super) fn container(&self, name: &str, script: &str) -> Container {
        let name = format!("{}-{name}", self.run);
        Container {
            place: Path::new("actions").join(&name),
            name,
            layers: vec!["layer".into()],
            upper: None,
            binds: vec![Bind {
                source: "/usr".into(),
                target: "/usr".to_owned(),
                read_only: true,
            }],
            tmpfs: ["/tmp", "/build"]
                .map(|target| Tmpfs {
                    target: target.to_owned(),
                    size: 64 << 20,
                    mode: 0o755,
                    user: 65532,
                })
                .into(),
            files: vec![("/etc/hosts".to_owned(), "127.0.0.1 localhost\n".to_owned())],
            command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
            environment: vec!["PATH=/usr/bin:/bin:/usr/sbin".to_owned(), "A=1".to_owned()],
            directory: "/build".to_owned(),
            user: 65532,
            network: false,
            limits: Some(Bounds {
                cores: 1.0,
                memory: 256 << 20,
                pids: 64,
            }),
        }
    }

    /// The control groups of containers of this place.
    pub(super) fn groups(&self) -> Vec<String> {
        self.machine.cgroups.groups(&self.run)
    }

    pub(super) async fn start(&self, container: &Container) -> Result<Running> {
        let work = Work::Container(Box::new(container.clone()));
        self.machine.start(self.path(), &work).await
    }

    /// Runs it to the end, and returns what it printed on both streams.
    pub(super) async fn run(&self, container: &Container) -> Result<(Ended, String)> {
        let mut running = self.start(container).await?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (a, b) = tokio::join!(
            running.stdout.read_to_end(&mut out),
            running.stderr.read_to_end(&mut err)
        );
        a.and(b).unwrap();
        let ended = running.ended().await;
        self.remove(&container.place).await;
        out.extend(err);
        Ok((ended?, String::from_utf8_lossy(&out).into_owned()))
    }

    /// What `script` prints, which must succeed.
    pub(super) async fn output(&self, name: &str, script: &str) -> String {
        let container = self.container(name, script);
        let (ended, printed) = self.run(&container).await.unwrap();
        assert_eq!(ended.code, 0, "{script}: {printed}");
        printed
    }

    pub(super) async fn remove(&self, path: &Path) {
        let work = Work::Remove {
            paths: vec![PathBuf::from(path)],
        };
        self.machine.to_the_end(self.path(), &work).await.unwrap();
    }
}
