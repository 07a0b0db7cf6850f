//! A real S3 server: Ceph's, from Debian's packages `radosgw`, `ceph-mon` and `ceph-osd`. All of it is on 127.0.0.1,
//! its objects are in memory.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use wheelfarm_types::Digest;

use crate::process::{run, wait_for};

const ACCESS_KEY: &str = "wheelfarm";
const SECRET_KEY: &str = "kept-by-ceph";
/// What Ceph calls its own region. Signatures are made for a region.
const REGION: &str = "us-east-1";
/// Another program may take a port that was free a moment ago.
const ATTEMPTS: u32 = 3;
/// How long the cluster may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct S3 {
    // Ended before their directory is removed: fields are dropped in this order.
    _daemons: Vec<Daemon>,
    directory: TempDir,
    endpoint: String,
}

#[derive(Debug)]
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl S3 {
    /// Starts a cluster of one of each daemon, and its S3 server on a free port.
    pub fn start() -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::try_start() {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn try_start() -> Result<Self> {
        let directory = TempDir::with_prefix("wheelfarm-s3-")?;
        let path = directory.path();
        let (monitor, port) = (free_port()?, free_port()?);
        let cluster = uuid()?;
        fs_err::write(
            path.join("ceph.conf"),
            configuration(path, &cluster, monitor),
        )?;
        for daemon in ["mon", "osd"] {
            fs_err::create_dir(path.join(daemon))?;
        }
        make_keys(path)?;
        let map = path.join("monmap");
        let address = format!("[v2:127.0.0.1:{monitor}]");
        run(Command::new("monmaptool")
            .args(["--create", "--fsid", &cluster, "--addv", "a", &address])
            .arg(&map))?;
        run(program(path, "ceph-mon")
            .args(["--mkfs", "-i", "a", "--monmap"])
            .arg(&map)
            .arg("--keyring")
            .arg(path.join("keyring")))?;
        let mut daemons = vec![daemon(program(path, "ceph-mon").args(["-i", "a", "-f"]))?];
        let storage = uuid()?;
        run(program(path, "ceph").args(["--connect-timeout", "30", "osd", "new", &storage, "0"]))?;
        run(program(path, "ceph-osd").args([
            "-i",
            "0",
            "--mkfs",
            "--osd-uuid",
            &storage,
            "--no-mon-config",
        ]))?;
        daemons.push(daemon(program(path, "ceph-osd").args([
            "-i",
            "0",
            "-f",
            "--no-mon-config",
        ]))?);
        let user = [
            "user",
            "create",
            "--uid",
            "tests",
            "--display-name",
            "tests",
        ];
        let keys = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY];
        run(program(path, "timeout")
            .env("CEPH_CONF", path.join("ceph.conf"))
            .arg("50")
            .arg("radosgw-admin")
            .args(user)
            .args(keys))?;
        let frontend = format!("beast endpoint=127.0.0.1:{port}");
        daemons.push(daemon(program(path, "radosgw").args([
            "-n",
            "client.admin",
            "-f",
            "--rgw-frontends",
            &frontend,
        ]))?);
        wait_for("the S3 server", PATIENCE, || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        Ok(Self {
            _daemons: daemons,
            directory,
            endpoint: format!("http://127.0.0.1:{port}"),
        })
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, name: &str) -> Result<()> {
        run(Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail-with-body",
                "--request",
                "PUT",
            ])
            .args(["--aws-sigv4", &format!("aws:amz:{REGION}:s3")])
            .args(["--user", &format!("{ACCESS_KEY}:{SECRET_KEY}")])
            // Which this curl signs, but does not add itself.
            .args([
                "--header",
                &format!("x-amz-content-sha256: {}", Digest::of("")),
            ])
            .arg(format!("{}/{name}", self.endpoint)))
        .with_context(|| format!("the bucket `{name}`"))?;
        Ok(())
    }

    /// The environment variables with which a program reaches it.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
        ]
    }

    /// What the server has written about itself.
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.directory.path().join("client.admin.log")).unwrap_or_default()
    }
}

fn program(path: &Path, name: &str) -> Command {
    let mut command = Command::new(name);
    if name != "timeout" {
        command.arg("-c").arg(path.join("ceph.conf"));
    }
    command
}

fn daemon(command: &mut Command) -> Result<Daemon> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("`{name}` could not be started"))?;
    Ok(Daemon(child))
}

fn make_keys(path: &Path) -> Result<()> {
    let ring = path.join("keyring");
    let everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"];
    for name in ["mon.", "client.admin", "osd.0"] {
        let mut command = Command::new("ceph-authtool");
        command.arg(&ring).args(["--gen-key", "-n", name]);
        if name == "mon." {
            command.arg("--create-keyring");
        }
        run(command.args(everything))?;
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn uuid() -> Result<String> {
    Ok(fs_err::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim()
        .to_owned())
}

/// One of everything, one copy of each object, in memory.
fn configuration(path: &Path, cluster: &str, monitor: u16) -> String {
    let path = path.display();
    format!(
        "[global]
fsid = {cluster}
admin socket =
run dir = {path}
log file = {path}/$name.log
log to stderr = false
keyring = {path}/keyring
mon host = [v2:127.0.0.1:{monitor}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
mon data = {path}/mon
mon data avail crit = 1
mon data avail warn = 1
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
osd data = {path}/osd
osd objectstore = memstore
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
memstore device bytes = 2147483648
rgw thread pool size = 64
"
    )
}
