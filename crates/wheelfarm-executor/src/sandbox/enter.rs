//! A shell in a container that was kept.

use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use wheelfarm_build::action::ExecutorErrorKind;

use crate::error::{Result, error, hinted, io};
use crate::sandbox::Sandbox;
use crate::sandbox::launch::{Container, Running, Work};
use crate::sandbox::place::{ACTIONS, Place};

/// Says that it is there, and stays until it is ended.
const WAIT: &str = "echo; exec 1>&-; while :; do sleep 3600; done";

impl Sandbox {
    /// Opens a shell in the kept container `name`, on the terminal of this process; returns the shell's exit code.
    pub async fn enter(&self, name: &str) -> Result<i32> {
        // What the container's own run left of itself stands where it was.
        let place = Place::new(Arc::clone(&self.shared), ACTIONS)?;
        let mut container = self.shared.kept_container(name)?;
        container.command = ["/bin/sh", "-c", WAIT].map(str::to_owned).into();
        place.name.clone_into(&mut container.name);
        place.path.clone_into(&mut container.place);
        let code = self.shell(name, container).await;
        place.close().await;
        code
    }

    async fn shell(&self, name: &str, container: Container) -> Result<i32> {
        let (user, environment) = (container.user, container.environment.clone());
        let machine = &self.shared.machine;
        let work = Work::Container(Box::new(container));
        let mut running = machine.start(&self.shared.directory, &work).await?;
        self.shared.count_start();
        let process = first_process(&mut running, name).await?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={process}"))
            .args(["--user", "--mount", "--pid", "--net", "--ipc", "--uts"])
            // Those of the container.
            .args(["--root", "--wd"]);
        if machine.maps_several_ids() {
            command.args([format!("--setuid={user}"), format!("--setgid={user}")]);
        } else {
            command.arg("--preserve-credentials");
        }
        command.arg("/bin/sh").env_clear();
        let variables = environment.iter().filter_map(|text| text.split_once('='));
        command.envs(variables);
        let status = command.status().await.map_err(|source| {
            hinted(
                ExecutorErrorKind::Engine,
                format!("nsenter could not be started: {source}"),
                "It is in the package `util-linux`.",
            )
        })?;
        running.kill().await;
        Ok(status.code().unwrap_or(1))
    }
}

/// The container's first process, once it runs.
async fn first_process(running: &mut Running, name: &str) -> Result<u32> {
    let mut line = [0; 1];
    let read = running.stdout.read(&mut line).await;
    let read = read.map_err(io("wait for the container"))?;
    let process = if read == 1 {
        running.first_process()
    } else {
        None
    };
    if let Some(process) = process {
        return Ok(process);
    }
    let mut words = String::new();
    running.stderr.read_to_string(&mut words).await.ok();
    let message = format!("the container {name} does not run: {}", words.trim());
    Err(error(ExecutorErrorKind::Engine, message))
}
