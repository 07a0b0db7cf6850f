//! A registry of container images on this machine: Debian's `docker-registry`.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::wait_for;

/// The user `me` with the password `secret`, as registries keep it.
const USERS: &str = "me:$2b$04$v94a/aesmW8Y7O/RW2w0bOBb1RdTzR0V3fUlQ09VTVOAqawKQnh/m\n";

/// Who may use a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// The user `me` with the password `secret`.
    Login,
}

/// A registry on a free port; it ends with this.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    port: u16,
}

impl Registry {
    /// Starts one that keeps its files in `directory`, and waits until it answers.
    pub fn start(directory: &Path, access: Access) -> Result<Self> {
        fs_err::create_dir_all(directory)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let users = directory.join("users");
        fs_err::write(&users, USERS)?;
        let auth = match access {
            Access::Open => String::new(),
            Access::Login => format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                users.display()
            ),
        };
        let config = directory.join("config.yml");
        let data = directory.join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n{auth}",
            data.display()
        );
        fs_err::write(&config, text)?;
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("Debian's package docker-registry is not installed")?;
        let registry = Self { process, port };
        wait_for("the registry to answer", Duration::from_secs(30), || {
            Ok(TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        Ok(registry)
    }

    /// `localhost:40123`: what names of its images begin with.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
