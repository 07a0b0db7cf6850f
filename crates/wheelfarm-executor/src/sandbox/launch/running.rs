//! Work in progress, and its end.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use wheelfarm_build::action::ExecutorErrorKind;

use crate::error::{Result, error, io};
use crate::sandbox::cgroup::Group;
use crate::sandbox::launcher::RUNTIME_LOG;
use crate::sandbox::machine::complaint;

/// How long a launcher may take to end its container before it is killed itself, which does the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// The code of what was killed: 128 and the signal's number.
const KILLED: i64 = 137;

/// Work in progress. Dropping it kills everything that belongs to it.
#[derive(Debug)]
pub(crate) struct Running {
    /// What it prints.
    pub(crate) stdout: BufReader<ChildStdout>,
    /// What it complains of.
    pub(crate) stderr: ChildStderr,
    parts: Option<Parts>,
}

/// How work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The command's code; 128 and the signal if it was killed.
    pub(crate) code: i64,
    /// How many of its processes the kernel killed for want of memory.
    pub(crate) killed: u64,
}

impl Ended {
    /// Whether it was killed, whoever did it: then its last words are missing.
    pub(crate) fn is_killed(self) -> bool {
        self.code == KILLED
    }
}

#[derive(Debug)]
struct Parts {
    child: Child,
    /// While it is open, the launcher goes on.
    stdin: Option<ChildStdin>,
    group: Option<Group>,
    way_out: Option<Child>,
    place: Option<PathBuf>,
}

impl Running {
    pub(crate) fn new(
        child: Child,
        stdin: ChildStdin,
        stdout: BufReader<ChildStdout>,
        stderr: ChildStderr,
        place: Option<PathBuf>,
    ) -> Self {
        Self {
            stdout,
            stderr,
            parts: Some(Parts {
                child,
                stdin: Some(stdin),
                group: None,
                way_out: None,
                place,
            }),
        }
    }

    /// The launcher's number.
    pub(crate) fn pid(&self) -> Result<u32> {
        let pid = self.parts.as_ref().and_then(|parts| parts.child.id());
        pid.ok_or_else(|| error(ExecutorErrorKind::Engine, "the launcher has ended"))
    }

    /// The number that the first process of a container has outside of it.
    pub(crate) fn first_process(&self) -> Option<u32> {
        let runtime = only_child(self.pid().ok()?)?;
        only_child(runtime)
    }

    pub(crate) fn stdin(&mut self) -> Option<&mut ChildStdin> {
        self.parts.as_mut()?.stdin.as_mut()
    }

    pub(crate) fn own_group(&mut self, group: Group) {
        if let Some(parts) = &mut self.parts {
            parts.group = Some(group);
        }
    }

    pub(crate) fn own_way_out(&mut self, child: Child) {
        if let Some(parts) = &mut self.parts {
            parts.way_out = Some(child);
        }
    }

    /// Waits for the end. What the runtime itself could not do is an error, in its own words.
    pub(crate) async fn ended(mut self) -> Result<Ended> {
        let over = || error(ExecutorErrorKind::Engine, "the work has ended before");
        // It stays ours meanwhile: should this future be dropped, everything goes.
        let status = match &mut self.parts {
            Some(parts) => parts.child.wait().await,
            None => return Err(over()),
        };
        let mut parts = self.parts.take().ok_or_else(over)?;
        let killed = parts.group.as_ref().map_or(0, Group::killed);
        let place = parts.place.take();
        parts.clear().await;
        let status = status.map_err(io("wait for the launcher"))?;
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let log = place.map(|place| fs_err::read_to_string(place.join(RUNTIME_LOG)));
        if let (true, Some(Ok(log))) = (code != 0, log)
            && let Some(text) = complaint(&log)
        {
            return Err(error(
                ExecutorErrorKind::Engine,
                format!("the container could not be run: {text}"),
            ));
        }
        Ok(Ended {
            code: code.into(),
            killed,
        })
    }

    /// Kills everything and returns when it is gone.
    pub(crate) async fn kill(mut self) {
        if let Some(parts) = self.parts.take() {
            parts.end().await;
        }
    }
}

impl Parts {
    /// Ends the launcher and with it everything, and waits for that.
    async fn end(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            // An error means that it has ended.
            self.child.kill().await.ok();
        }
        self.clear().await;
    }

    /// Removes what is left when the launcher has ended.
    async fn clear(mut self) {
        if let Some(mut way_out) = self.way_out.take() {
            // An error means that it has ended.
            way_out.kill().await.ok();
        }
        if let Some(group) = self.group.take() {
            group.remove().await;
        }
    }
}

/// The first child of the process `pid`.
fn only_child(pid: u32) -> Option<u32> {
    let children = fs_err::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        // Outside of a runtime the closed input alone ends the launcher, and the next sweep removes the group.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(parts.end());
        }
    }
}
