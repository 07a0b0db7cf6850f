//! Servers as processes on a core of their own, and what they cost.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wheelfarm_tests::anyhow::{Context, Result, bail};
use wheelfarm_tests::process::wait_for;

use super::http::Url;

/// The core that servers run on.
const SERVER_CORE: &str = "0";
/// The core of those who ask them.
const CLIENT_CORE: &str = "1";
/// Units of times in `/proc`, in a second: `USER_HZ`, which is 100 on all Linux that is in use.
const TICKS: f64 = 100.0;
/// No server may take longer to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with all its processes; ended when dropped.
pub(super) struct Server {
    child: Child,
}

/// Resident memory in MB, of all processes of a server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) now: f64,
    pub(super) peak: f64,
}

/// `program` on the core of servers.
pub(super) fn server(program: impl AsRef<Path>) -> Command {
    pinned(SERVER_CORE, program.as_ref())
}

/// `program` on the core of clients.
pub(super) fn client(program: impl AsRef<Path>) -> Command {
    pinned(CLIENT_CORE, program.as_ref())
}

fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// A port that is free now.
pub(super) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

impl Server {
    /// Starts `command` and waits until `page` is there. Returns the seconds that took.
    pub(super) fn start(command: &mut Command, log: &Path, page: &Url) -> Result<(Self, f64)> {
        let log_file = fs_err::File::create(log)?.into_parts().0;
        let start = Instant::now();
        // A group of its own: that is how its processes are found.
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("{command:?} could not be started"))?;
        let mut server = Self { child };
        let mut seconds = 0.0;
        wait_for(&format!("{page}"), PATIENCE, || {
            let answer = page.get(&[]);
            seconds = start.elapsed().as_secs_f64();
            if let Some(status) = server.child.try_wait()? {
                let said = fs_err::read_to_string(log)?;
                bail!("{command:?} ended ({status}):\n{said}");
            }
            Ok(answer
                .is_ok_and(|answer| answer.status == 200)
                .then_some(()))
        })
        .with_context(|| format!("its log is {}", log.display()))?;
        Ok((server, seconds))
    }

    /// Processor time in seconds, of all its processes and of those of them that ended.
    pub(super) fn cpu(&self) -> Result<f64> {
        let mut ticks = 0.0;
        self.processes(|_, fields| {
            // utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5); here counted from the state, 3.
            let times = fields.iter().skip(11).take(4);
            ticks += times
                .filter_map(|field| field.parse::<f64>().ok())
                .sum::<f64>();
            Ok(())
        })?;
        Ok(ticks / TICKS)
    }

    /// Resident memory.
    pub(super) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory::default();
        self.processes(|id, _| {
            let status = fs_err::read_to_string(format!("/proc/{id}/status"))?;
            let value = |name: &str| -> f64 {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                let number = line.and_then(|line| line.split_whitespace().next());
                number.and_then(|number| number.parse().ok()).unwrap_or(0.0)
            };
            memory.now += value("VmRSS:") * 1024.0 / 1e6;
            memory.peak += value("VmHWM:") * 1024.0 / 1e6;
            Ok(())
        })?;
        Ok(memory)
    }

    /// Looks at every process of the group: its number, and its `stat` from the state on.
    fn processes(&self, mut look: impl FnMut(u32, &[&str]) -> Result<()>) -> Result<()> {
        let group = self.child.id().to_string();
        for entry in fs_err::read_dir("/proc")? {
            let Some(id) = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // It may be gone by now.
            let Ok(stat) = fs_err::read_to_string(format!("/proc/{id}/stat")) else {
                continue;
            };
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let fields: Vec<&str> = rest.split(' ').collect();
            if fields.get(2) == Some(&group.as_str()) {
                look(id, &fields)?;
            }
        }
        Ok(())
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        // It may be gone.
        Command::new("kill")
            .args([signal, "--", &group])
            .stderr(Stdio::null())
            .status()
            .ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("-TERM");
        let ended = wait_for("the server's end", Duration::from_secs(10), || {
            Ok(self.child.try_wait()?)
        });
        if ended.is_err() {
            self.signal("-KILL");
            self.child.wait().ok();
        }
    }
}
