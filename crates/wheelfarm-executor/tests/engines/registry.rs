//! A registry of images.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use crate::engine::variable;

/// Podman speaks plain HTTP only to those registries that it was told of when it was started: `cargo xtask engines` does
/// that, and says here which port it is.
const PORT: &str = "WHEELFARM_TEST_REGISTRY_PORT";

/// One test at a time has that port.
static ONE: Mutex<()> = Mutex::const_new(());

/// Debian's `docker-registry`.
pub(crate) struct Registry {
    process: Child,
    pub(crate) port: u16,
    _one: MutexGuard<'static, ()>,
}

impl Registry {
    pub(crate) async fn start(directory: &Path) -> Self {
        let one = ONE.lock().await;
        let port = match variable(PORT) {
            Some(port) => port.parse().unwrap(),
            None => free_port(),
        };
        let config = directory.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            directory.join("data").display()
        );
        fs_err::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's package docker-registry is installed");
        let registry = Self {
            process,
            port,
            _one: one,
        };
        let start = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            assert!(start.elapsed() < Duration::from_secs(30), "no registry");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        registry
    }
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
