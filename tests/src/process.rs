//! Running programs: to their end, with a deadline, and with an error that says what they printed.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a condition is looked at again.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a program left.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed to stdout.
    pub stdout: Vec<u8>,
    /// What it printed to stderr.
    pub stderr: String,
}

/// A program that runs, its output being read.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

/// Waits until `condition` gives something, for `limit` at most.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Starts `command` with its output captured.
pub fn start(command: &mut Command) -> Result<Running> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{name}` could not be started"))?;
    Ok(Running {
        stdout: drain(child.stdout.take()),
        stderr: drain(child.stderr.take()),
        name,
        child,
    })
}

/// Runs `command` to its end and returns what it printed to stdout; an error if it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = start(command)?.finish(Duration::from_secs(20 * 60))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}):\n{}{}",
            words(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            output.stderr
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it.
pub fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Whether `program` is on the search path.
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", "command -v \"$0\" >/dev/null", program]);
    command.status().is_ok_and(|status| status.success())
}

fn drain(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is what there is.
            stream.read_to_end(&mut bytes).ok();
        }
        bytes
    })
}

impl Running {
    /// Sends a signal by name: `INT`, `KILL`.
    pub fn signal(&self, signal: &str) -> Result<()> {
        run(Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.child.id().to_string()))?;
        Ok(())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end, for `limit` at most; then it is killed, and that is an error.
    pub fn finish(mut self, limit: Duration) -> Result<Output> {
        let name = self.name.clone();
        let waited = wait_for(&format!("the end of `{name}`"), limit, || {
            Ok(self.child.try_wait()?)
        });
        if waited.is_err() {
            self.child.kill()?;
            self.child.wait()?;
        }
        let read = |thread: JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
        let stdout = read(self.stdout);
        let stderr = String::from_utf8_lossy(&read(self.stderr)).into_owned();
        let status = waited.with_context(|| format!("`{name}` printed:\n{stderr}"))?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}
