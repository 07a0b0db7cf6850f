//! Whether objects load: libraries with `dlopen` in a child process, programs as far as their loader, without running
//! a line of them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use wheelfarm_tests::anyhow::{Context, Result, ensure};

/// Programs that do nothing but print when they are asked for their version.
const HARMLESS: [&str; 24] = [
    "[",
    "b2sum",
    "basename",
    "bash",
    "cat",
    "cut",
    "date",
    "echo",
    "env",
    "expr",
    "false",
    "gawk",
    "grep",
    "head",
    "ls",
    "openssl",
    "perl",
    "printf",
    "python3.11",
    "sed",
    "sort",
    "tar",
    "true",
    "xz",
];

/// A process that loads libraries.
#[derive(Debug)]
pub(crate) struct Loader {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Loader {
    /// Starts one; it searches `libraries` first, if given.
    pub(crate) fn start(libraries: Option<&Path>, home: &Path) -> Result<Loader> {
        let mut command = Command::new("python3");
        command
            .args(["-S", "-c", include_str!("load.py")])
            .current_dir(home)
            .env("LD_BIND_NOW", "1")
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let mut child = command.spawn().context("`python3` could not be started")?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Loader {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Loads the library at `path`; `None` when it does, else what went wrong.
    pub(crate) fn load(&mut self, path: &Path) -> Result<Option<String>> {
        writeln!(self.input, "{}", path.display())?;
        self.input.flush()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "the loading process died");
        let answer = answer.trim_end();
        Ok((answer != "ok").then(|| answer.to_owned()))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What a program at `path` prints and how it ends.
fn start(command: &mut Command) -> Result<(ExitStatus, String)> {
    for _ in 0..100 {
        match command.stdin(Stdio::null()).output() {
            // Another thread forked while we were writing the file; its child closes it soon.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
            Ok(output) => {
                let text = [output.stdout, output.stderr].concat();
                return Ok((output.status, String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
    Err(std::io::Error::from(std::io::ErrorKind::ExecutableFileBusy).into())
}

/// Has the kernel start the program at `path` and its loader bind all its symbols, then stop. `None` when this goes
/// well, else what went wrong.
pub(crate) fn trace(path: &Path, libraries: Option<&Path>) -> Result<Option<String>> {
    let mut command = Command::new(path);
    command
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .env("LD_BIND_NOW", "1")
        .env("LD_WARN", "1");
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    let (status, text) = start(&mut command)?;
    let bad = |line: &&str| {
        line.contains("not found") || line.contains("undefined") || line.contains("rror")
    };
    let complaint = text.lines().find(bad);
    if status.success() && complaint.is_none() && text.contains("=>") | text.contains("linux-vdso")
    {
        return Ok(None);
    }
    let line = complaint
        .or_else(|| text.lines().next())
        .unwrap_or_default();
    Ok(Some(format!("{status}: {}", line.trim())))
}

/// What the program at `path` answers to `--version`, for those that can safely be asked; else `None`.
pub(crate) fn version(
    path: &Path,
    name: &str,
    libraries: Option<&Path>,
) -> Result<Option<(bool, String)>> {
    if !HARMLESS.contains(&name) {
        return Ok(None);
    }
    let mut command = Command::new(path);
    command.arg("--version");
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    let (status, text) = start(&mut command)?;
    Ok(Some((status.success(), text)))
}
