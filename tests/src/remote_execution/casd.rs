//! A server of Remote Execution on one node: buildbox-casd, with storage, action cache and execution.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result};

use super::{BUILDBOX, LIMIT, Storage, answers, docker, free_port, leftovers};
use crate::process::wait_for;

/// The server of the tests that run now: it ends with the last of them.
static SHARED: Mutex<Weak<Casd>> = Mutex::new(Weak::new());

/// How a server is to be.
#[derive(Debug, Clone, Copy)]
pub struct CasdSettings<'a> {
    /// How much it may store before the least recently used goes: `300M`.
    pub quota: &'a str,
    /// The size of the disk that it has for itself, which is memory: `200m`; else it has its part of the machine's.
    pub disk: Option<&'a str>,
    /// The memory that it and all its actions may use: `1g`.
    pub memory: Option<&'a str>,
    /// Actions at a time.
    pub jobs: usize,
    /// `bubblewrap`, or `hosttools`: actions run in the container itself.
    pub runner: &'a str,
    /// Whether it has the machine's own network, and its names.
    pub host_network: bool,
    /// The image, which is made of [`BUILDBOX`]: what actions without a sandbox see.
    pub image: &'a str,
}

impl Default for CasdSettings<'_> {
    fn default() -> Self {
        Self {
            quota: "20G",
            disk: None,
            memory: None,
            jobs: 2,
            runner: "bubblewrap",
            host_network: false,
            image: BUILDBOX,
        }
    }
}

/// A running server; it is removed with its data when this is dropped.
#[derive(Debug)]
pub struct Casd {
    container: String,
    port: u16,
}

impl Casd {
    /// The server that all tests of this process share. Nothing may happen to it.
    pub fn shared() -> Result<Arc<Self>> {
        let mut running = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start()?);
        *running = Arc::downgrade(&server);
        Ok(server)
    }

    /// Starts one, and waits until it answers.
    pub fn start() -> Result<Self> {
        Self::with(&CasdSettings::default())
    }

    /// Starts one that is as `settings` say, and waits until it answers.
    pub fn with(settings: &CasdSettings<'_>) -> Result<Self> {
        leftovers::sweep();
        let port = free_port()?;
        let label = leftovers::label()?;
        let publish = format!("127.0.0.1:{port}:50061");
        let environment = [
            format!("QUOTA={}", settings.quota),
            format!("JOBS={}", settings.jobs),
            format!("RUNNER={}", settings.runner),
            // The rest of the machine's disk is not its concern.
            "RESERVED=1M".to_owned(),
        ];
        let disk = settings
            .disk
            .map(|size| format!("/var/lib/casd:mode=755,exec,size={size}"));
        let mut words = vec!["run", "--detach", "--init", "--label", &label];
        let bind = format!("BIND=127.0.0.1:{port}");
        if settings.host_network {
            words.extend(["--network", "host", "--env", &bind]);
        } else {
            words.extend(["--publish", &publish]);
        }
        words.extend(["--device", "/dev/fuse", "--cap-add", "SYS_ADMIN"]);
        words.extend(["--security-opt", "seccomp=unconfined"]);
        words.extend(["--security-opt", "apparmor=unconfined"]);
        for variable in &environment {
            words.extend(["--env", variable]);
        }
        if let Some(disk) = &disk {
            words.extend(["--tmpfs", disk]);
        }
        if let Some(memory) = settings.memory {
            words.extend(["--memory", memory, "--memory-swap", memory]);
        }
        words.extend([settings.image, "server"]);
        let started = docker(&words).context("`cargo xtask images remote-execution` makes it")?;
        let server = Self {
            container: started.trim().to_owned(),
            port,
        };
        server.wait()?;
        Ok(server)
    }

    /// `http://127.0.0.1:<port>`: it stays the same over [`Self::restart`].
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has on its disk.
    pub fn storage(&self) -> Storage {
        Storage::of(&self.container)
    }

    /// Ends it in order.
    pub fn stop(&self) -> Result<()> {
        docker(&["stop", "--time", "10", &self.container])?;
        Ok(())
    }

    /// Ends it at once, with all that it runs, as `kill -9` does.
    pub fn kill(&self) -> Result<()> {
        docker(&["kill", &self.container])?;
        Ok(())
    }

    /// Starts it after [`Self::stop`] or [`Self::kill`] with the data that it had, and waits until it answers.
    pub fn restart(&self) -> Result<()> {
        docker(&["start", &self.container])?;
        self.wait()
    }

    /// Holds all of it: connections stay, and nobody answers.
    pub fn freeze(&self) -> Result<()> {
        docker(&["pause", &self.container])?;
        Ok(())
    }

    /// Lets it go on after [`Self::freeze`].
    pub fn thaw(&self) -> Result<()> {
        docker(&["unpause", &self.container])?;
        Ok(())
    }

    /// Whether it runs.
    pub fn is_running(&self) -> Result<bool> {
        let state = docker(&["inspect", "--format", "{{.State.Running}}", &self.container])?;
        Ok(state.trim() == "true")
    }

    /// Runs a program in its container, where it is `http://127.0.0.1:50061`; what it printed.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        docker(&[&["exec", &self.container], words].concat())
    }

    /// What it has logged.
    pub fn log(&self) -> Result<String> {
        docker(&["logs", &self.container])
    }

    fn wait(&self) -> Result<()> {
        let ready = wait_for("buildbox-casd", LIMIT, || {
            anyhow::ensure!(self.is_running()?, "buildbox-casd ended");
            Ok(answers(self.port).then_some(()))
        });
        ready.with_context(|| self.log().unwrap_or_default())
    }
}

impl Drop for Casd {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.container]).ok();
    }
}
