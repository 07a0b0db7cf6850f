//! A container that answers requests.

use std::time::{Duration, Instant};

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::asking::ask;
use wheelfarm_tests::process::wait_for;

use super::docker::docker;

/// How long a service may take until it answers.
const LIMIT: Duration = Duration::from_secs(60);
/// How soon it must end when it is asked to: engines kill after ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);
/// What a deployment that is careful takes away: writing, capabilities, new privileges.
const LOCKED: [&str; 5] = [
    "--read-only",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
];

/// A container; it is removed at the end, however that comes.
#[derive(Debug)]
pub(super) struct Service {
    id: String,
    address: String,
    /// From the command that starts it to its first answer, in seconds.
    pub(super) cold_start: f64,
}

impl Service {
    /// Starts `image`, whose port 8080 is asked for `/`, with as little as it may have. `more` are options of
    /// `docker run`.
    pub(super) fn start(image: &str, more: &[&str]) -> Result<Self> {
        Self::start_with(image, &[&LOCKED, more].concat())
    }

    /// The same with nothing taken away, as images that are usual need it.
    pub(super) fn start_unlocked(image: &str, more: &[&str]) -> Result<Self> {
        Self::start_with(image, more)
    }

    fn start_with(image: &str, more: &[&str]) -> Result<Self> {
        let base = ["run", "--detach", "--publish", "127.0.0.1::8080"];
        let start = Instant::now();
        let id = docker(&[&base[..], more, &[image]].concat())?;
        let mut service = Self {
            id: id.trim().to_owned(),
            address: String::new(),
            cold_start: 0.0,
        };
        let port = docker(&["port", &service.id, "8080/tcp"])
            .with_context(|| format!("{image} ended at once: {}", service.log()))?;
        let port = port.lines().next().unwrap_or_default();
        service.address = format!("http://{port}");
        let answered = wait_for(&format!("{image} to answer"), LIMIT, || {
            // The engine takes connections before there is somebody behind.
            let answer = ask(&service.address, "GET", "/", &[]).ok();
            Ok(answer.filter(|answer| answer.status == 200))
        });
        answered.with_context(|| service.log())?;
        service.cold_start = start.elapsed().as_secs_f64();
        Ok(service)
    }

    /// The text at `path`.
    pub(super) fn get(&self, path: &str) -> Result<String> {
        let answer = ask(&self.address, "GET", path, &[])?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 200, "{path}: {} {text}", answer.status);
        Ok(text)
    }

    /// Its address, `http://` included.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Asks it to end; an error if it has to be killed.
    pub(super) fn stop(self) -> Result<()> {
        let start = Instant::now();
        docker(&["stop", &self.id])?;
        let took = start.elapsed();
        ensure!(
            took < PATIENCE,
            "it did not end when asked to: {}",
            self.log()
        );
        Ok(())
    }

    fn log(&self) -> String {
        let mut command = std::process::Command::new("docker");
        let output = command.args(["logs", &self.id]).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| {
                let both = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&both).into_owned()
            },
        )
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Nothing is lost with a container that is left.
        docker(&["rm", "--force", "--volumes", &self.id]).ok();
    }
}
