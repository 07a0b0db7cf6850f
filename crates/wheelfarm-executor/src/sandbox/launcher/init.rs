//! The first process of a container's process namespace: it becomes the runtime.
//!
//! Only a process inside can mount the `/proc` of its namespace, and without it a runtime would find other processes
//! under the numbers that it knows.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use rustix::mount::MountFlags;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::Result;

/// The name under which the launcher calls its own program a second time.
const NAME: &str = "wheelfarm-sandbox-init";
/// Where it finds what to become.
const FILE: &str = "exec.json";

/// A program to become.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exec {
    /// What it is.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
}

/// Whether this process was started for it.
pub(crate) fn is_meant() -> bool {
    std::env::args_os().next().is_some_and(|name| name == NAME)
}

/// Leaves in `bundle` what the first process is to become.
pub(crate) fn leave(exec: &Exec, bundle: &Path) -> Result<()> {
    let text = serde_json::to_string(exec).map_err(|error| error.to_string())?;
    fs::write(bundle.join(FILE), text).map_err(|error| error.to_string())
}

/// This program again: by the link that the kernel keeps, since the way to it may be closed to us.
pub(crate) fn command(bundle: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(NAME)
        .args(std::env::args_os().skip(1))
        .current_dir(bundle);
    command
}

/// Becomes the runtime; returns only why it could not.
pub(crate) fn become_runtime() -> String {
    let exec = match prepare() {
        Ok(exec) => exec,
        Err(text) => return text,
    };
    let error = Command::new(&exec.program).args(&exec.arguments).exec();
    format!("could not start {}: {error}", exec.program.display())
}

fn prepare() -> Result<Exec> {
    // Should the launcher be killed, all of this ends as well.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("could not ask to be killed with the launcher: {error}"))?;
    let text = fs::read_to_string(FILE).map_err(|error| error.to_string())?;
    let exec = serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None)
        .map_err(|error| format!("could not mount /proc: {error}"))?;
    Ok(exec)
}
