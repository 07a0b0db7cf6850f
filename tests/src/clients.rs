//! Programs that install from package indexes, each in a version that is pinned, and with nothing of this machine's
//! settings: an empty home, no variables.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::environment::{kept_directory, scratch_directory};
use crate::process::{Output, run, start};

/// No installation of a few small wheels takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// A program that installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// pip of 2025.
    Pip25,
    /// pip of 2026.
    Pip26,
    /// uv.
    Uv,
    /// poetry.
    Poetry,
    /// pdm.
    Pdm,
    /// No installer: what uploads, and no more.
    Twine,
    /// No installer: what reads pages of an index for other programs.
    Reader,
}

impl Client {
    /// What is installed, by pip's own settings.
    fn requirement(self) -> &'static str {
        match self {
            Self::Pip25 => "pip==25.3",
            Self::Pip26 => "pip==26.3",
            Self::Uv => "uv==0.13.8",
            Self::Poetry => "poetry==2.5.1",
            Self::Pdm => "pdm[locked]==2.29.3",
            Self::Twine => "twine==7.0.0",
            Self::Reader => "pypi-simple==1.8.0",
        }
    }

    /// The directory with its programs. It is installed once and kept beside the programs that cargo builds.
    pub fn programs(self) -> Result<PathBuf> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        installed(self)
    }
}

/// The programs of `client`, installed if need be.
fn installed(client: Client) -> Result<PathBuf> {
    let requirement = client.requirement();
    let directory = kept_directory()?
        .join("clients")
        .join(requirement.replace("==", "-"));
    let done = directory.join("installed");
    if !done.exists() {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear", "--without-pip"])
            .arg(&directory))?;
        let python = directory.join("bin/python");
        run(&mut match client {
            Client::Uv => pip_install(&python, requirement),
            _ => uv_install(&python, requirement)?,
        })?;
        fs_err::write(done, "")?;
    }
    Ok(directory.join("bin"))
}

fn pip_install(python: &Path, requirement: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "--quiet", "--disable-pip-version-check"])
        .arg("--python")
        .arg(python)
        .args(["install", requirement]);
    command
}

/// What takes pip half a minute of one core takes uv one second. It is told of pip's index if pip has one.
fn uv_install(python: &Path, requirement: &str) -> Result<Command> {
    let uv = installed(Client::Uv)?.join("uv");
    let mut command = Command::new(uv);
    command
        .args(["pip", "install", "--quiet", "--no-cache", "--python"])
        .arg(python)
        .arg(requirement)
        .env("UV_NATIVE_TLS", "true");
    let settings = run(Command::new("python3").args(["-m", "pip", "config", "list"]))?;
    // Variables come first in it, and go before files.
    let index = settings
        .lines()
        .find_map(|line| line.split_once(".index-url='"))
        .map(|(_, index)| index.trim_end_matches('\''));
    if let Some(index) = index {
        command.env("UV_DEFAULT_INDEX", index);
    }
    Ok(command)
}

/// pip's own wheel, of [`Client::Pip26`], by pip's own settings.
pub fn pip_wheel() -> Result<PathBuf> {
    let directory = kept_directory()?.join("clients/pip-wheel");
    let wheel = directory.join("pip-26.3-py3-none-any.whl");
    if !wheel.exists() {
        run(Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
            .arg(&directory)
            .arg(Client::Pip26.requirement()))?;
    }
    Ok(wheel)
}

/// Somebody's home directory, and programs that run there.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
}

impl Home {
    /// An empty one.
    pub fn new() -> Result<Self> {
        Ok(Self {
            directory: TempDir::new_in(scratch_directory()?)?,
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file of it.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        fs_err::write(&path, text)?;
        Ok(path)
    }

    /// Writes an executable file of it.
    pub fn program(&self, name: &str, text: &str) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file(name, text)?;
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// A file of it, to be looked at.
    pub fn read(&self, name: &str) -> Result<String> {
        Ok(fs_err::read_to_string(self.path().join(name))?)
    }

    /// The client with these arguments; it runs here and knows nothing of other settings.
    pub fn command(&self, client: Client, arguments: &[&str]) -> Result<Command> {
        let programs = client.programs()?;
        let mut command = match client {
            Client::Pip25 | Client::Pip26 => {
                let mut command = Command::new(programs.join("python"));
                command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
                command
            }
            Client::Uv => Command::new(programs.join("uv")),
            Client::Poetry => Command::new(programs.join("poetry")),
            Client::Pdm => Command::new(programs.join("pdm")),
            Client::Twine => Command::new(programs.join("twine")),
            Client::Reader => Command::new(programs.join("python")),
        };
        let path = format!(
            "{}:{}:/usr/bin:/bin",
            self.path().join("bin").display(),
            programs.display()
        );
        command
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path())
            .env("LC_ALL", "C.UTF-8")
            .env("PIP_CONFIG_FILE", "/dev/null")
            // The Python that the client runs on will do, and no other is to be fetched.
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("UV_PYTHON", programs.join("python"))
            // No keyring of this machine's, and no question to anybody.
            .env("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
            .env("POETRY_NO_INTERACTION", "1")
            .env("PDM_CHECK_UPDATE", "false")
            .current_dir(self.path());
        Ok(command)
    }

    /// Runs the client to its end.
    pub fn run(&self, client: Client, arguments: &[&str]) -> Result<Output> {
        finish(&mut self.command(client, arguments)?)
    }

    /// Runs the client; an error if it fails.
    pub fn succeed(&self, client: Client, arguments: &[&str]) -> Result<Output> {
        succeed(&mut self.command(client, arguments)?)
    }
}

/// Runs a client's command to its end.
pub fn finish(command: &mut Command) -> Result<Output> {
    start(command)?.finish(LIMIT)
}

/// Runs a client's command; an error if it fails.
pub fn succeed(command: &mut Command) -> Result<Output> {
    let output = finish(command)?;
    ensure!(
        output.status.success(),
        "{} ended with {}:\n{}\n{}",
        crate::process::words(command),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        output.stderr
    );
    Ok(output)
}
