//! The way out of a network namespace: slirp4netns, which does in user space what a router does.
//!
//! Without it a container with network has the machine's own network, its loopback device included.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use wheelfarm_build::action::ExecutorErrorKind;

use super::ids::tool;
use crate::error::{Result, error, io};

/// Where it answers to questions for names.
pub(crate) const NAME_SERVER: &str = "10.0.2.3";

/// The device by which it speaks to the kernel; the kernel's default lets only root have it, distributions everybody.
const DEVICE: &str = "/dev/net/tun";

/// The program, or what is missing.
pub(super) fn find() -> Result<PathBuf, String> {
    let Some(program) = tool("slirp4netns") else {
        return Err("install slirp4netns".to_owned());
    };
    let wanted = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    match rustix::fs::access(DEVICE, wanted) {
        Ok(()) => Ok(program),
        Err(error) => Err(format!(
            "slirp4netns needs {DEVICE} ({error}): `modprobe tun` and `chmod 666 {DEVICE}` as root give it"
        )),
    }
}

/// Opens a way out for the process `pid`, and returns once there is one. It ends with the handle, or with us.
pub(super) async fn open(program: &Path, pid: u32) -> Result<Child> {
    let mut command = Command::new(program);
    command
        // It ends when its standard input does, and writes to its standard output once it is ready.
        .args(["--configure", "--mtu=65520", "--disable-host-loopback"])
        .args(["--exit-fd=0", "--ready-fd=1"])
        .arg(pid.to_string())
        .arg("tap0")
        // Not for it what is typed at the terminal.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(io("start slirp4netns"))?;
    let mut ready = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        let mut first = [0; 1];
        let count = stdout.read(&mut first).await;
        let count = count.map_err(io("wait for slirp4netns"))?;
        ready.extend_from_slice(first.get(..count).unwrap_or_default());
    }
    if !ready.is_empty() {
        // Nobody reads its messages: a full pipe must not stop it.
        if let Some(mut messages) = child.stderr.take() {
            tokio::spawn(async move {
                tokio::io::copy(&mut messages, &mut tokio::io::sink())
                    .await
                    .ok();
            });
        }
        return Ok(child);
    }
    let output = child.wait_with_output().await;
    let output = output.map_err(io("wait for slirp4netns"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    Err(error(
        ExecutorErrorKind::Engine,
        format!("slirp4netns could not open the network: {text}"),
    ))
}
