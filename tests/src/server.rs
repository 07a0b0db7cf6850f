//! `wheelfarm serve` as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::farm::Farm;
use crate::http::exchange_with;
use crate::process::run;

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server of the farm's store on a free port, with further arguments, and waits until it listens. Unless
    /// these say something of an upstream index, it has none, whatever this machine is configured for.
    pub fn start(farm: &Farm, arguments: &[&str]) -> Result<Self> {
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let alone = !arguments.iter().any(|it| it.starts_with("--upstream"));
        let alone: &[&str] = if alone { &["--no-upstream"] } else { &[] };
        let mut command = farm.command(serve.iter().chain(alone).chain(arguments))?;
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().context("it has a stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = lines.next() else {
                child.wait()?;
                anyhow::bail!("the server ended: {said}");
            };
            let line = line?;
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
            said.push_str(&line);
            said.push('\n');
        };
        // What it goes on saying must be read, or it would stand still one day.
        let log = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&log);
        let keep = move |line| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(line);
        };
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(keep));
        Ok(Self {
            child,
            address,
            log,
        })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Sends a request with a token, unless it is empty, and reads the answer to its end: status and body.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> Result<(u16, String)> {
        let address = self
            .address
            .strip_prefix("http://")
            .unwrap_or(&self.address);
        let stream = TcpStream::connect(address)?;
        let mut headers = vec!["Content-Type: application/json\r\n".to_owned()];
        if !token.is_empty() {
            headers.push(format!("Authorization: Bearer {token}\r\n"));
        }
        let headers = headers.concat();
        let (status, body) = exchange_with(stream, method, path, &headers, body.as_bytes())?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// The lines that it has logged so far.
    pub fn log(&self) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: `TERM`, `HUP`.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let id = self.id().to_string();
        run(Command::new("kill").arg(format!("-{signal}")).arg(id))?;
        Ok(())
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The memory of its process, in bytes.
    pub fn memory(&self) -> Result<u64> {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.context("the kernel says how much memory it has")? << 10)
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
