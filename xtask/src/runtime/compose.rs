//! Services of a `compose.yaml`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::asking::ask;
use wheelfarm_tests::process::{is_installed, run, wait_for};

const LIMIT: Duration = Duration::from_secs(120);

/// Services that run; they are removed at the end, data included.
#[derive(Debug)]
pub(super) struct Services {
    directory: PathBuf,
    project: String,
}

impl Services {
    /// Those of `directory`, none of which runs yet. `settings` are lines of its `.env`.
    pub(super) fn new(directory: &Path, settings: &[&str]) -> Result<Self> {
        fs_err::write(directory.join(".env"), settings.join("\n") + "\n")?;
        Ok(Self {
            directory: directory.to_owned(),
            project: format!("wheelfarm-example-{}", std::process::id()),
        })
    }

    /// Runs Compose with these words; what it printed.
    pub(super) fn compose(&self, words: &[&str]) -> Result<String> {
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
            .current_dir(&self.directory);
        run(&mut command)
    }

    /// The address that a service's port has on this machine.
    pub(super) fn address(&self, service: &str, port: &str) -> Result<String> {
        let address = self.compose(&["port", service, port])?;
        Ok(format!("http://{}", address.trim()))
    }

    /// The text at `path` of a service, as soon as `is_right` for it.
    pub(super) fn wait(
        &self,
        service: &str,
        port: &str,
        path: &str,
        is_right: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let address = self.address(service, port)?;
        let got = wait_for(&format!("{service} to answer"), LIMIT, || {
            // The engine takes connections before there is somebody behind.
            let answer = ask(&address, "GET", path, &[]).ok();
            let text = answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
            Ok(text.filter(|text| is_right(text)))
        });
        got.with_context(|| self.compose(&["logs"]).unwrap_or_default())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes"]).ok();
    }
}
