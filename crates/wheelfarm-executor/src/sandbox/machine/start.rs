//! Starts work in a launcher of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use wheelfarm_build::action::ExecutorErrorKind;

use super::{Ids, Machine, way_out};
use crate::error::{Result, error, hinted, io};
use crate::sandbox::bundle::{Network, Unheld};
use crate::sandbox::launch::{Container, Launch, Running, Work, said};

/// A line of the launcher's; longer ones are none of it.
const MAX_LINE: u64 = 64 << 10;
/// Where containers look for servers of names.
const RESOLV: &str = "/etc/resolv.conf";

impl Machine {
    /// Starts `work` in the sandbox's directory; what it prints is to be read while it runs.
    pub(crate) async fn start(&self, directory: &Path, work: &Work) -> Result<Running> {
        let mut launch = Launch {
            namespace: self.ids != Ids::Identity,
            single: matches!(self.ids, Ids::Single { .. }),
            runtime: None,
            network: Network::None,
            unheld: Unheld::default(),
            work: work.clone(),
        };
        let mut place: Option<PathBuf> = None;
        if let Work::Container(container) = &mut launch.work {
            launch.runtime = Some(self.runtime.clone());
            launch.unheld = self.cgroups.unheld();
            launch.network = self.network_of(container);
            adapt(container, launch.network, self.way_out.as_ref().err())?;
            self.prepare(directory, &container.place)?;
            place = Some(directory.join(&container.place));
        }

        let mut child = self.spawn(directory)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(error(
                ExecutorErrorKind::Engine,
                "the launcher has no pipes",
            ));
        };
        let mut running = Running::new(child, stdin, BufReader::new(stdout), stderr, place);
        match self.prepare_launcher(&launch, &mut running).await {
            Ok(()) => Ok(running),
            Err(error) => {
                running.kill().await;
                Err(error)
            }
        }
    }

    /// Does `work` to its end; what it prints is its error if it fails.
    pub(crate) async fn to_the_end(&self, directory: &Path, work: &Work) -> Result<()> {
        let mut running = self.start(directory, work).await?;
        let (mut printed, mut complaints) = (Vec::new(), Vec::new());
        let read = tokio::try_join!(
            running.stdout.read_to_end(&mut printed),
            running.stderr.read_to_end(&mut complaints)
        );
        read.map_err(io("read what the sandbox prints"))?;
        let ended = running.ended().await?;
        if ended.code == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&complaints);
        let text = text.trim();
        Err(error(
            ExecutorErrorKind::Engine,
            format!(
                "work in the sandbox failed with code {}: {text}",
                ended.code
            ),
        ))
    }

    fn spawn(&self, directory: &Path) -> Result<Child> {
        let mut command = Command::new(&self.launcher.program);
        command
            .args(&self.launcher.arguments)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What is typed at the terminal is for us: we end containers in our own time.
            .process_group(0);
        let program = self.launcher.program.display();
        command.spawn().map_err(io(format!("start {program}")))
    }

    async fn prepare_launcher(&self, launch: &Launch, running: &mut Running) -> Result<()> {
        let line = serde_json::to_string(launch).map_err(|source| {
            error(
                ExecutorErrorKind::Engine,
                format!("could not describe the work to the launcher: {source}"),
            )
        })?;
        tell(running, &line).await?;
        expect(&mut running.stdout, said::READY).await?;
        let pid = running.pid()?;
        self.ids.give(pid).await?;
        if let Work::Container(container) = &launch.work {
            let group = self.cgroups.create(&container.name, container.limits);
            let group = group.map_err(io("make the container's control group"))?;
            let added = group.add(pid);
            running.own_group(group);
            added.map_err(io("put the container into its control group"))?;
        }
        tell(running, said::GO).await?;
        if let (Network::Translated, Ok(program)) = (launch.network, &self.way_out) {
            expect(&mut running.stdout, said::NETWORK).await?;
            running.own_way_out(way_out::open(program, pid).await?);
            tell(running, said::GO).await?;
        }
        expect(&mut running.stdout, said::RUNNING).await
    }
}

/// Names are asked for where the way out answers.
///
/// `missing` is what the way out lacks.
fn adapt(container: &mut Container, network: Network, missing: Option<&String>) -> Result<()> {
    if network == Network::Translated {
        container.files.retain(|(path, _)| path != RESOLV);
        let content = format!("nameserver {}\n", way_out::NAME_SERVER);
        container.files.push((RESOLV.to_owned(), content));
    }
    // Who installs packages is trusted, and has to reach a mirror.
    if network == Network::Host && container.user != 0 {
        return Err(hinted(
            ExecutorErrorKind::Engine,
            "builds with network would reach everything that listens on this machine",
            format!(
                "{}: that gives them a network of their own",
                missing.map_or("", String::as_str)
            ),
        ));
    }
    Ok(())
}

async fn tell(running: &mut Running, line: &str) -> Result<()> {
    let line = format!("{line}\n");
    let Some(stdin) = running.stdin() else {
        return Ok(());
    };
    let told: std::io::Result<()> = send(stdin, line.as_bytes()).await;
    match told {
        // What it said before it went tells more.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(io("speak to the launcher")),
    }
}

async fn send(stdin: &mut ChildStdin, bytes: &[u8]) -> std::io::Result<()> {
    stdin.write_all(bytes).await?;
    stdin.flush().await
}

/// Reads the launcher's next line, which should be `wanted`.
async fn expect(stdout: &mut BufReader<ChildStdout>, wanted: &str) -> Result<()> {
    let mut line = Vec::new();
    let mut bounded = stdout.take(MAX_LINE);
    let read = bounded.read_until(b'\n', &mut line).await;
    read.map_err(io("hear the launcher"))?;
    let line = String::from_utf8_lossy(&line);
    let line = line.trim_end();
    if line == wanted {
        return Ok(());
    }
    let text = match line.strip_prefix(said::FAILED) {
        Some(reason) => format!("the sandbox could not {reason}"),
        None if line.is_empty() => "the sandbox's launcher ended before its work began".to_owned(),
        None => format!("the sandbox's launcher said `{line}` instead of `{wanted}`"),
    };
    Err(error(ExecutorErrorKind::Engine, text))
}
