//! One container from its mounts to its exit code.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};

use fs_err as fs;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::UnshareFlags;

use super::init::{self, Exec};
use super::overlay::{self, directory};
use super::{Result, expect_go, kill, say, unshare};
use crate::sandbox::bundle::{Network, Surroundings, spec};
use crate::sandbox::launch::{Container, Launch, said};

/// What the runtime says of itself, below the container's place: one JSON object on each line.
pub(crate) const RUNTIME_LOG: &str = "runtime.log";

/// Prepares `container`, runs it and returns its exit code.
pub(crate) fn run(launch: &Launch, container: &Container) -> Result<u8> {
    let runtime = launch.runtime.as_ref().ok_or("no runtime is given")?;
    if launch.network == Network::Translated {
        unshare(UnshareFlags::NEWNET, "make a network namespace")?;
        say(said::NETWORK)?;
        expect_go()?;
    }
    let here = overlay::own_mounts()?;
    if runtime.stumbles_over_control_groups() {
        overlay::hide_control_groups()?;
    }
    let root = overlay::mount_root(container)?;

    let place = here.join(&container.place);
    let around = Surroundings {
        root: &here.join(root),
        directory: &here,
        files: &files(&place, container)?,
        single: launch.single,
        network: launch.network,
        bounds: launch.unheld,
    };
    let (bundle, state, log) = (
        place.join("bundle"),
        place.join("state"),
        place.join(RUNTIME_LOG),
    );
    directory(&bundle)?;
    // The environment may name a proxy with a password.
    fs::set_permissions(&bundle, PermissionsExt::from_mode(0o700)).map_err(|e| e.to_string())?;
    let text = spec(container, &around).map_err(|error| format!("make the bundle: {error}"))?;
    write(&bundle.join("config.json"), &text.to_string())?;
    let exec = Exec {
        program: runtime.program.clone(),
        arguments: runtime.arguments(&state, &log, &bundle, &container.name),
    };
    init::leave(&exec, &bundle)?;

    unshare(UnshareFlags::NEWPID, "make a process namespace")?;
    let mut command = init::command(&bundle);
    command.stdin(Stdio::null());
    say(said::RUNNING)?;
    let mut child = command
        .spawn()
        .map_err(|error| format!("start the runtime: {error}"))?;
    let status = attend(&mut child)?;
    Ok(code(status))
}

/// Writes the small files of `container` and returns where they are.
fn files(place: &Path, container: &Container) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let folder = place.join("files");
    directory(&folder)?;
    for (n, (_, content)) in container.files.iter().enumerate() {
        let path = folder.join(n.to_string());
        write(&path, content)?;
        paths.push(path.to_string_lossy().into_owned());
    }
    Ok(paths)
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).map_err(|error| error.to_string())
}

/// Waits for the end of `child`, or of our input: then kills it first.
///
/// It is the first process of a namespace: when it ends, the kernel kills all others.
fn attend(child: &mut Child) -> Result<ExitStatus> {
    let waiting = |error: &dyn std::fmt::Display| format!("wait for the runtime: {error}");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or("the runtime has no process id")?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| waiting(&error))?;
    let input = std::io::stdin();
    loop {
        let mut watched = [
            PollFd::new(&ended, PollFlags::IN),
            PollFd::new(&input, PollFlags::IN),
        ];
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(waiting(&error)),
        }
        if watched[1].revents() != PollFlags::empty() {
            kill(pid);
        }
        if watched.iter().any(|fd| fd.revents() != PollFlags::empty()) {
            return child.wait().map_err(|error| waiting(&error));
        }
    }
}

/// As shells count: what was killed has 128 and the signal.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}
