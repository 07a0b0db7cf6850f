//! Podman behind Docker's interface, for as long as a value lives: as root, or as an ordinary user.
//!
//! Its storage and its settings are its own, and so are its processes: all of them end with it, whatever they hold.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::docker::Engine;
use crate::ordinary::User;
use crate::process::{run, wait_for};

const LIMIT: Duration = Duration::from_secs(60);
/// Programs that containers may have as their first process; Debian's Podman brings none of them along.
const FIRST_PROCESSES: [&str; 3] = ["catatonit", "tini", "dumb-init"];

/// A service of Podman. One at a time has the storage of a user.
#[derive(Debug)]
pub struct Podman {
    directory: PathBuf,
    process: Child,
    _lock: File,
}

impl Podman {
    /// Starts it as `user`, or as root; this process must be root. It may talk to a registry at `registry_port` of this
    /// machine without TLS.
    pub fn start(user: Option<&User>, registry_port: u16) -> Result<Self> {
        let id = user.map_or(0, |user| user.id);
        // A short name: paths of sockets may not be long, and Podman cleans nothing up whose directory has a longer name
        // than 50 characters.
        let directory = std::env::temp_dir().join(format!("wheelfarm-podman-{id}"));
        fs_err::create_dir_all(&directory)?;
        let lock = fs_err::File::create(directory.join("lock"))?.into_parts().0;
        lock.lock()
            .context("the lock of Podman's storage cannot be had")?;
        prepare(&directory, user, registry_port)?;
        let process = command(&directory, user).spawn();
        let podman = Self {
            process: process.context("`podman` could not be started")?,
            directory,
            _lock: lock,
        };
        let engine = Engine::at(&podman.host());
        let answers = wait_for("Podman", LIMIT, || Ok(engine.ping().is_ok().then_some(())));
        let log = || fs_err::read_to_string(podman.directory.join("log")).unwrap_or_default();
        answers.with_context(log)?;
        Ok(podman)
    }

    /// What `DOCKER_HOST` has to be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.join("sock").display())
    }

    /// Its engine.
    pub fn engine(&self) -> Engine {
        Engine::at(&self.host())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // The first process in a namespace of processes goes with it, and takes all others along.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Writes its settings, and removes what was in use when the last one ended, as a restart of the machine would.
fn prepare(directory: &Path, user: Option<&User>, registry_port: u16) -> Result<()> {
    for name in ["run", "tmp", "xdg", "settings"] {
        let path = directory.join(name);
        if path.exists() {
            fs_err::remove_dir_all(&path)?;
        }
    }
    for name in ["run", "tmp", "xdg", "settings", "home", "storage"] {
        fs_err::create_dir_all(directory.join(name))?;
    }
    if directory.join("sock").exists() {
        fs_err::remove_file(directory.join("sock"))?;
    }
    let place = directory.display();
    let first = first_process()?;
    // Limits that a root without all privileges can set; and runc, since some versions of crun want one hierarchy of
    // control groups.
    let containers = format!(
        "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=16384:16384\"]\n\
         [engine]\ninit_path = \"{first}\"\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\n\
         events_logger = \"file\"\nlock_type = \"file\"\ntmp_dir = \"{place}/tmp\"\n\
         [network]\nnetwork_config_dir = \"{place}/settings/networks\"\n"
    );
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{place}/storage\"\nrunroot = \"{place}/run\"\n"
    );
    let registries =
        format!("[[registry]]\nlocation = \"localhost:{registry_port}\"\ninsecure = true\n");
    let settings = directory.join("settings");
    fs_err::write(settings.join("containers.conf"), containers)?;
    fs_err::write(settings.join("storage.conf"), storage)?;
    fs_err::write(settings.join("registries.conf"), registries)?;
    run(Command::new("chmod").arg("700").arg(directory.join("xdg")))?;
    let Some(user) = user else { return Ok(()) };
    for name in ["run", "tmp", "xdg", "settings", "home"] {
        user.give(&directory.join(name))?;
    }
    // What is in it belongs to ids of containers.
    let own = [directory, &directory.join("storage")];
    run(Command::new("chown").arg(&user.name).args(own))?;
    Ok(())
}

/// The service, in a namespace of processes. With the process that starts it, it ends too.
fn command(directory: &Path, user: Option<&User>) -> Command {
    let settings = directory.join("settings");
    let podman = user.map_or_else(|| Command::new("podman"), |user| user.command("podman"));
    let mut command = Command::new("setpriv");
    // A shell stays the first process, as somebody has to bury what Podman leaves behind.
    command
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
        ])
        .args(["--kill-child", "--mount-proc"])
        .args(["sh", "-c", "exec >log 2>&1; \"$@\"; exit", "sh"])
        .arg(podman.get_program())
        .args(podman.get_args())
        .args(["--log-level", "info", "system", "service", "--time=0"])
        .arg(format!("unix://{}", directory.join("sock").display()))
        .env("CONTAINERS_CONF", settings.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", settings.join("storage.conf"))
        .env(
            "CONTAINERS_REGISTRIES_CONF",
            settings.join("registries.conf"),
        )
        .env("XDG_RUNTIME_DIR", directory.join("xdg"))
        .env("HOME", directory.join("home"))
        .stdin(Stdio::null())
        .current_dir(directory);
    User::with_device(&command)
}

fn first_process() -> Result<String> {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "for name in \"$@\"; do command -v $name && exit; done",
        "sh",
    ]);
    let found = run(command.args(FIRST_PROCESSES))?;
    let found = found.trim().to_owned();
    let missing = || format!("one of {} must be installed", FIRST_PROCESSES.join(", "));
    (!found.is_empty()).then_some(found).with_context(missing)
}
