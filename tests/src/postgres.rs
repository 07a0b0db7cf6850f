//! A real PostgreSQL server, from Debian's `postgresql` package, that talks TLS only.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::environment::is_root;
use crate::process::{run, wait_for};

/// The password of the database's user, which lives as long as the server does.
const PASSWORD: &str = "kept-by-scram";
/// Another program may take the port that was free a moment ago.
const ATTEMPTS: u32 = 3;

/// A running server; stopped and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    // Stopped before its directory is removed: fields are dropped in this order.
    server: Server,
    directory: TempDir,
    port: u16,
}

#[derive(Debug)]
struct Server(Child);

/// The unprivileged user that the server runs as, where we are root: it refuses to be.
#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes a database with a self-signed certificate and starts its server on a free port of 127.0.0.1.
    pub fn start() -> Result<Self> {
        let programs = programs()?;
        let user = if is_root() { Some(user()?) } else { None };
        // Not under the target directory: the other user may not be able to get there.
        let mut directory = TempDir::with_prefix("wheelfarm-postgres-")?;
        own(directory.path(), user)?;
        make(&programs, directory.path(), user)?;
        let mut attempt = 1;
        loop {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut server = serve(&programs, directory.path(), user, port)?;
            let ready = wait_until_ready(&mut server, &programs, directory.path(), port);
            let postgres = Self {
                server,
                directory,
                port,
            };
            match ready {
                Ok(()) => return Ok(postgres),
                Err(error) if attempt == ATTEMPTS => return Err(error.context(postgres.log())),
                Err(_) => {
                    attempt += 1;
                    directory = postgres.stop();
                }
            }
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the user `postgres`.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The server's certificate, which is its own authority.
    pub fn certificate(&self) -> Result<String> {
        Ok(fs_err::read_to_string(
            self.directory.path().join("data/server.crt"),
        )?)
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Stops the server; the database stays.
    fn stop(self) -> TempDir {
        let Self {
            server, directory, ..
        } = self;
        drop(server);
        directory
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: end now, without the clean-up of a database that nobody needs any more; its children go too.
        let asked = Command::new("kill")
            .arg("-QUIT")
            .arg(self.0.id().to_string())
            .status();
        if !asked.is_ok_and(|status| status.success()) {
            self.0.kill().ok();
        }
        self.0.wait().ok();
    }
}

fn serve(programs: &Path, directory: &Path, user: Option<User>, port: u16) -> Result<Server> {
    let log = fs_err::File::create(directory.join("log"))?;
    let server = as_user(programs.join("postgres"), user)
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-p", &port.to_string(), "-k"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.into_parts().0)
        .spawn()
        .context("the PostgreSQL server could not be started")?;
    Ok(Server(server))
}

fn wait_until_ready(
    server: &mut Server,
    programs: &Path,
    directory: &Path,
    port: u16,
) -> Result<()> {
    wait_for("the PostgreSQL server", Duration::from_secs(60), || {
        if let Some(status) = server.0.try_wait()? {
            bail!("the PostgreSQL server ended ({status})");
        }
        let mut look = Command::new(programs.join("pg_isready"));
        look.args(["--quiet", "-U", "postgres", "-d", "postgres"])
            .arg("-h")
            .arg(directory)
            .args(["-p", &port.to_string()]);
        Ok(look.status()?.success().then_some(()))
    })
}

/// The directory of the newest installed server's programs.
fn programs() -> Result<PathBuf> {
    let missing = "PostgreSQL is not installed: on Debian, `apt-get install postgresql`";
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs_err::read_dir("/usr/lib/postgresql").context(missing)? {
        let path = entry?.path();
        let version = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        if let Some(version) = version
            && path.join("bin/initdb").exists()
        {
            versions.push((version, path.join("bin")));
        }
    }
    let newest = versions.into_iter().max();
    newest.map(|(_, path)| path).context(missing)
}

/// The user `postgres`, which the package makes.
fn user() -> Result<User> {
    let number = |option: &str| -> Result<u32> {
        let text = run(Command::new("id").args([option, "postgres"]))?;
        text.trim().parse().context("`id` printed no number")
    };
    Ok(User {
        uid: number("-u")?,
        gid: number("-g")?,
    })
}

fn as_user(program: impl AsRef<std::ffi::OsStr>, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C.UTF-8");
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn own(path: &Path, user: Option<User>) -> Result<()> {
    if let Some(user) = user {
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

/// Makes the database, its key and certificate, and its rules: TLS and a password for whoever comes by network.
fn make(programs: &Path, directory: &Path, user: Option<User>) -> Result<()> {
    let password = directory.join("password");
    fs_err::write(&password, PASSWORD)?;
    own(&password, user)?;
    let data = directory.join("data");
    run(as_user(programs.join("initdb"), user)
        .args([
            "--username=postgres",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-sync",
        ])
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--pwfile"])
        .arg(&password)
        .arg("--pgdata")
        .arg(&data))?;
    run(as_user("openssl", user)
        .args([
            "req", "-new", "-x509", "-days", "2", "-nodes", "-newkey", "rsa:2048",
        ])
        .args([
            "-subj",
            "/CN=wheelfarm tests",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
        ])
        .arg(data.join("server.key"))
        .arg("-out")
        .arg(data.join("server.crt")))?;
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    fs_err::write(data.join("pg_hba.conf"), rules)?;
    let settings = data.join("postgresql.conf");
    let mut text = fs_err::read_to_string(&settings)?;
    text.push_str(
        "\nssl = on\nlisten_addresses = '127.0.0.1'\nfsync = off\nlog_connections = on\n",
    );
    fs_err::write(&settings, text)?;
    Ok(())
}
