//! A cluster of Remote Execution: `BuildGrid`, PostgreSQL, a storage and two workers, from the Compose file that users have.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{BUILDBOX, BUILDGRID, LIMIT, POSTGRES, Storage, answers, docker, free_port, leftovers};
use crate::environment::repository;
use crate::process::{is_installed, run, wait_for};

/// The property `pool` of actions that the workers take.
const POOL: &str = "wheels";

/// A running cluster; it is removed with its data when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    project: String,
    port: u16,
    storage_port: u16,
    worker_quota: String,
}

impl Cluster {
    /// Starts one, and waits until it answers and its workers are there. One test at a time has one of its own `name`.
    pub fn start(name: &str) -> Result<Self> {
        Self::with_quota(name, "20G")
    }

    /// As [`Self::start`], with workers that have at hand no more than `worker_quota`: `300M`.
    pub fn with_quota(name: &str, worker_quota: &str) -> Result<Self> {
        leftovers::sweep();
        let cluster = Self {
            project: leftovers::project(name)?,
            port: free_port()?,
            storage_port: free_port()?,
            worker_quota: worker_quota.to_owned(),
        };
        cluster
            .compose(&["up", "--detach", "--no-build"])
            .context("`cargo xtask images remote-execution` makes the images")?;
        cluster.wait_for_server()?;
        for worker in [1, 2] {
            cluster.wait_for_worker(worker)?;
        }
        Ok(cluster)
    }

    /// Where actions are sent: `http://127.0.0.1:<port>`. It has all services, and stays the same over restarts.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port of [`Self::address`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where blobs and results of actions can be had directly.
    pub fn storage_address(&self) -> String {
        format!("http://127.0.0.1:{}", self.storage_port)
    }

    /// The port of [`Self::storage_address`].
    pub fn storage_port(&self) -> u16 {
        self.storage_port
    }

    /// The properties that an action must have for a worker to take it, besides those for its root file system.
    pub fn properties() -> [(&'static str, &'static str); 1] {
        [("pool", POOL)]
    }

    /// What the storage has on its disk.
    pub fn storage(&self) -> Result<Storage> {
        Ok(Storage::of(&self.container("storage")?))
    }

    /// What worker `number`, 1 or 2, has at hand.
    pub fn worker_storage(&self, number: usize) -> Result<Storage> {
        Ok(Storage::of(&self.container(&worker(number))?))
    }

    /// Ends a worker at once, with what it runs, as `kill -9` does. It does not come back by itself.
    pub fn kill_worker(&self, number: usize) -> Result<()> {
        docker(&["kill", &self.container(&worker(number))?])?;
        Ok(())
    }

    /// Starts a worker again after [`Self::kill_worker`], and waits until it is ready.
    pub fn start_worker(&self, number: usize) -> Result<()> {
        docker(&["start", &self.container(&worker(number))?])?;
        self.wait_for_worker(number)
    }

    /// Whether a worker runs an action now.
    pub fn runs_an_action(&self, number: usize) -> Result<bool> {
        let programs = docker(&["top", &self.container(&worker(number))?, "-o", "pid,comm"])?;
        Ok(programs.contains("bwrap"))
    }

    /// Takes a worker off the network: it goes on, and nobody hears of it.
    pub fn disconnect_worker(&self, number: usize) -> Result<()> {
        let worker = self.container(&worker(number))?;
        docker(&["network", "disconnect", &self.network(), &worker])?;
        Ok(())
    }

    /// Puts a worker on the network again.
    pub fn connect_worker(&self, number: usize) -> Result<()> {
        let worker = self.container(&worker(number))?;
        docker(&["network", "connect", &self.network(), &worker])?;
        Ok(())
    }

    /// Ends the scheduler at once. The database and the storage go on.
    pub fn kill_server(&self) -> Result<()> {
        docker(&["kill", &self.container("buildgrid")?])?;
        Ok(())
    }

    /// Starts the scheduler after [`Self::kill_server`], and waits until it answers.
    pub fn start_server(&self) -> Result<()> {
        docker(&["start", &self.container("buildgrid")?])?;
        self.wait_for_server()
    }

    /// Stops the scheduler in order, starts it, and waits until it answers.
    pub fn restart_server(&self) -> Result<()> {
        docker(&["restart", "--time", "10", &self.container("buildgrid")?])?;
        self.wait_for_server()
    }

    /// Runs a program of buildbox in the storage's container, beside all services: `http://buildgrid:50051` and
    /// `http://storage:50061`; what it printed.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        docker(&[&["exec", &self.container("storage")?], words].concat())
    }

    /// What all of them have logged.
    pub fn log(&self) -> Result<String> {
        self.compose(&["logs", "--no-color"])
    }

    fn wait_for_server(&self) -> Result<()> {
        let ready = wait_for("BuildGrid", LIMIT, || {
            Ok((answers(self.port) && answers(self.storage_port)).then_some(()))
        });
        ready.with_context(|| self.log().unwrap_or_default())
    }

    /// Waits until both of its programs run. The scheduler hears of it a moment later.
    fn wait_for_worker(&self, number: usize) -> Result<()> {
        let worker = self.container(&worker(number))?;
        let ready = wait_for("a worker", LIMIT, || {
            let programs = docker(&["top", &worker, "-o", "pid,comm"]).unwrap_or_default();
            Ok(programs.contains("buildbox-worker").then_some(()))
        });
        ready.with_context(|| self.log().unwrap_or_default())
    }

    fn network(&self) -> String {
        format!("{}_default", self.project)
    }

    /// The id of a service's container.
    fn container(&self, service: &str) -> Result<String> {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        let filters = ["--filter", &project, "--filter", &service];
        let found = docker(&[&["ps", "--all", "--quiet"], filters.as_slice()].concat())?;
        let id = found.trim().to_owned();
        ensure!(!id.is_empty(), "the cluster has no {service}");
        Ok(id)
    }

    fn compose(&self, words: &[&str]) -> Result<String> {
        let mut command = if is_installed("docker-compose") {
            Command::new("docker-compose")
        } else {
            let mut command = Command::new("docker");
            command.arg("compose");
            command
        };
        command
            .args(["--project-name", &self.project])
            .args(words)
            .current_dir(repository().join("images/remote-execution"))
            .env("POSTGRES_PASSWORD", "not-a-secret")
            .env("POSTGRES_IMAGE", POSTGRES)
            .env("BUILDBOX_IMAGE", BUILDBOX)
            .env("BUILDGRID_IMAGE", BUILDGRID)
            .env("LISTEN", "127.0.0.1")
            .env("PORT", self.port.to_string())
            .env("STORAGE_PORT", self.storage_port.to_string())
            .env("STORAGE_QUOTA", "20G")
            .env("WORKER_QUOTA", &self.worker_quota)
            .env("WORKER_JOBS", "1")
            .env("POOL", POOL);
        run(&mut command)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes", "--timeout", "1"]).ok();
    }
}

fn worker(number: usize) -> String {
    format!("worker-{number}")
}
