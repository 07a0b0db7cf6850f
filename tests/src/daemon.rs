//! A Docker daemon of the test's own, which can be stopped and killed without harm to anybody else.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::docker::Engine;
use crate::environment::scratch_directory;
use crate::process::{run, wait_for};

const LIMIT: Duration = Duration::from_secs(120);

/// A daemon with its own data and no network. Its containers can be told from those of others: they have
/// another parent in the hierarchy of control groups.
#[derive(Debug)]
pub struct Daemon {
    /// Sockets and process ids: in a directory with a short name, since a socket's path may not be long.
    state: TempDir,
    data: TempDir,
    storage_driver: String,
    child: Option<Child>,
}

impl Daemon {
    /// Starts a daemon that has no images, with the storage driver of `like`.
    pub fn start(like: &Engine) -> Result<Self> {
        let mut daemon = Self {
            state: TempDir::with_prefix("wf-")?,
            data: TempDir::new_in(scratch_directory()?)?,
            storage_driver: like.storage_driver()?,
            child: None,
        };
        // Not the machine's own settings.
        fs_err::write(daemon.file("daemon.json"), "{}")?;
        daemon.restart()?;
        Ok(daemon)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// What `DOCKER_HOST` has to be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.file("sock").display())
    }

    /// Starts it after [`Daemon::stop`] or [`Daemon::kill`], and waits until it answers.
    pub fn restart(&mut self) -> Result<()> {
        let log = fs_err::File::options()
            .append(true)
            .create(true)
            .open(self.file("log"))?
            .into_parts()
            .0;
        // In a network of its own: a daemon that is to have no bridge removes the machine's `docker0`.
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--", "dockerd", "--config-file"])
            .arg(self.file("daemon.json"))
            .arg("--data-root")
            .arg(self.data.path())
            .arg("--exec-root")
            .arg(self.file("exec"))
            .arg("--pidfile")
            .arg(self.file("pid"))
            .args(["--host", &self.host()])
            .args(["--storage-driver", &self.storage_driver])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(["--cgroup-parent=/wheelfarm-tests", "--shutdown-timeout=2"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.child = Some(command.spawn().context("`dockerd` could not be started")?);
        let engine = Engine::at(&self.host());
        let answers = wait_for("the daemon of the test", LIMIT, || {
            Ok(engine.ping().is_ok().then_some(()))
        });
        answers.with_context(|| fs_err::read_to_string(self.file("log")).unwrap_or_default())
    }

    /// Its engine.
    pub fn engine(&self) -> Engine {
        Engine::at(&self.host())
    }

    /// Ends it in order: it stops its containers.
    pub fn stop(&mut self) -> Result<()> {
        self.signal("TERM")
    }

    /// Ends it at once: its containers go on.
    pub fn kill(&mut self) -> Result<()> {
        self.signal("KILL")?;
        // It dies with the daemon; where nobody reaps it, the next one would take it for alive.
        let pid = self.file("exec").join("containerd/containerd.pid");
        if let Ok(number) = fs_err::read_to_string(&pid) {
            run(Command::new("kill").args(["-KILL", number.trim()])).ok();
            fs_err::remove_file(&pid)?;
        }
        Ok(())
    }

    fn signal(&mut self, signal: &str) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        run(Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(child.id().to_string()))?;
        let ended = wait_for("the end of the daemon of the test", LIMIT, || {
            Ok(child.try_wait()?)
        });
        if ended.is_err() {
            child.kill()?;
            child.wait()?;
        }
        ended.map(drop)
    }
}

impl Daemon {
    /// Ends what a daemon that was killed left and the next one did not find: processes that hold containers,
    /// mounts.
    fn clear_up(&self) -> Result<()> {
        let state = self.state.path().display().to_string();
        for entry in fs_err::read_dir("/proc")? {
            let process = entry?;
            let name = process.file_name().to_string_lossy().into_owned();
            let command = fs_err::read(process.path().join("cmdline")).unwrap_or_default();
            let ours = String::from_utf8_lossy(&command).contains(&state);
            if ours && name.bytes().all(|byte| byte.is_ascii_digit()) {
                run(Command::new("pkill").args(["-KILL", "-P", &name])).ok();
                run(Command::new("kill").args(["-KILL", &name])).ok();
            }
        }
        let mounts = fs_err::read_to_string("/proc/self/mounts")?;
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let ours = |place: &&str| {
            let place = Path::new(place);
            place.starts_with(self.data.path()) || place.starts_with(self.state.path())
        };
        // The innermost were mounted last.
        for place in places.filter(ours).collect::<Vec<_>>().into_iter().rev() {
            run(Command::new("umount").args(["--lazy", place]))?;
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that was killed has containers still: only a daemon can end them.
        if self.child.is_none() {
            self.restart().ok();
        }
        self.stop().ok();
        self.clear_up().ok();
    }
}
