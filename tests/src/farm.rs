//! The `wheelfarm` program with directories of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::absent::without_docker;
use crate::environment::{architecture, binary, kept_directory, repository, scratch_directory};
use crate::ordinary::User;
use crate::process::{self, Running};
use crate::report::Report;

/// The copy of the program for another user.
const PROGRAM: &str = "wheelfarm";
/// No run of the tests takes longer.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// A store, a cache and a working directory, and the program to use them with. The cache is never shared, so the
/// containers of one farm can be told from those of all others.
#[derive(Debug)]
pub struct Farm {
    directory: TempDir,
    store: PathBuf,
    environment: Vec<(String, String)>,
    /// Who runs the program, if not whoever runs the tests.
    user: Option<User>,
    /// Whether Docker is there.
    has_docker: bool,
}

/// What a run of the program left.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed to stdout.
    pub stdout: String,
    /// What it printed to stderr.
    pub stderr: String,
    /// Where it ran.
    directory: PathBuf,
}

impl Farm {
    /// A farm with an empty store.
    pub fn new() -> Result<Self> {
        let directory = TempDir::new_in(scratch_directory()?)?;
        let store = directory.path().join("store");
        Self::at(directory, store)
    }

    /// A farm whose store is that of all farms made by this function in this process.
    pub fn sharing() -> Result<Self> {
        let scratch = scratch_directory()?;
        Self::at(TempDir::new_in(scratch)?, scratch.join("shared-store"))
    }

    /// A farm with its store at `store`.
    pub fn with_store(store: &Path) -> Result<Self> {
        Self::at(TempDir::new_in(scratch_directory()?)?, store.to_owned())
    }

    /// A farm with an empty store of `user`, with a copy of the program: the way to the original may be closed.
    pub fn of_user(user: &User) -> Result<Self> {
        let directory = TempDir::new()?;
        let store = directory.path().join("store");
        fs_err::copy(binary()?, directory.path().join(PROGRAM))?;
        let uv = uv_wheel()?;
        let name = uv.file_name().context("the wheel of uv has no name")?;
        fs_err::copy(uv, directory.path().join(name))?;
        let mut farm = Self::at(directory, store)?;
        user.give(farm.directory.path())?;
        farm.user = Some(user.clone());
        Ok(farm)
    }

    fn at(directory: TempDir, store: PathBuf) -> Result<Self> {
        fs_err::create_dir(directory.path().join("work"))?;
        Ok(Self {
            directory,
            store,
            environment: Vec::new(),
            user: None,
            has_docker: true,
        })
    }

    /// Sets an environment variable for all runs.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Hides Docker from all runs: only root can.
    #[must_use]
    pub fn without_docker(mut self) -> Self {
        self.has_docker = false;
        self
    }

    /// Writes `wheelfarm.toml`.
    pub fn configure(self, text: &str) -> Result<Self> {
        fs_err::write(self.work().join("wheelfarm.toml"), text)?;
        Ok(self)
    }

    /// Where the program runs.
    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// The output directory: the program's default.
    pub fn out(&self) -> PathBuf {
        self.work().join("wheelhouse")
    }

    /// The store's directory.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// The cache's directory.
    pub fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// The program with this farm's settings.
    pub fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Command> {
        let mut command = match &self.user {
            Some(user) => user.command(self.directory.path().join(PROGRAM)),
            None => Command::new(binary()?),
        };
        command
            .args(arguments)
            .env("WHEELFARM_STORE", &self.store)
            .env("WHEELFARM_CACHE", self.cache())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.work());
        if !self.has_docker {
            return Ok(without_docker(&command));
        }
        Ok(command)
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Run> {
        self.finish(process::start(&mut self.command(arguments)?)?)
    }

    /// Starts `wheelfarm build`, to print its report as JSON, with the resolver that all farms share.
    pub fn start_build<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Running> {
        let mut command = self.command(["build", "--format", "json", "--uv-wheel"])?;
        let mut uv = uv_wheel()?.to_owned();
        if let (Some(_), Some(name)) = (&self.user, uv.file_name()) {
            uv = self.directory.path().join(name);
        }
        command.arg(uv).args(arguments);
        process::start(&mut command)
    }

    /// Runs `wheelfarm build` to its end.
    pub fn build<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Run> {
        self.finish(self.start_build(arguments)?)
    }

    /// Waits for the end of a started run.
    pub fn finish(&self, running: Running) -> Result<Run> {
        let output = running.finish(LIMIT)?;
        Ok(Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: output.stderr,
            directory: self.work(),
        })
    }
}

impl Run {
    /// The report of a build.
    pub fn report(&self) -> Result<Report> {
        let report = Report::parse(&self.stdout, &self.directory);
        report.with_context(|| format!("stderr was:\n{}", self.stderr))
    }

    /// The report of a build that ended with exit code 0.
    pub fn success(&self) -> Result<Report> {
        if self.code != Some(0) {
            bail!(
                "exit code {:?}:\n{}\n{}",
                self.code,
                self.stdout,
                self.stderr
            );
        }
        self.report()
    }
}

/// The wheel of the pinned resolver, downloaded once through pip's own settings.
pub fn uv_wheel() -> Result<&'static Path> {
    static WHEEL: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| obtain_uv().map_err(|error| format!("{error:#}")));
    match &*WHEEL {
        Ok(path) => Ok(path),
        Err(message) => bail!("{message}"),
    }
}

/// A wheel of pip, downloaded once through pip's own settings: for images that have a Python and no pip.
pub fn pip_wheel() -> Result<&'static Path> {
    static WHEEL: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| obtain_pip().map_err(|error| format!("{error:#}")));
    match &*WHEEL {
        Ok(path) => Ok(path),
        Err(message) => bail!("{message}"),
    }
}

fn obtain_pip() -> Result<PathBuf> {
    let directory = kept_directory()?.join("pip-wheel");
    let found = || -> Result<Option<PathBuf>> {
        let mut entries = fs_err::read_dir(&directory)?;
        Ok(entries.next().transpose()?.map(|entry| entry.path()))
    };
    fs_err::create_dir_all(&directory)?;
    if let Some(path) = found()? {
        return Ok(path);
    }
    process::run(
        Command::new("python3")
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
            ])
            .arg("--dest")
            .arg(&directory)
            .arg("pip"),
    )?;
    found()?.context("pip downloaded no wheel of itself")
}

fn obtain_uv() -> Result<PathBuf> {
    let pin = repository().join("crates/wheelfarm-resolve/src/uv.toml");
    let pin: toml::Table = toml::from_str(&fs_err::read_to_string(pin)?)?;
    let text = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).map(str::to_owned);
    let version = text(pin.get("version")).context("uv.toml has no version")?;
    let wheel = pin
        .get("wheels")
        .and_then(|wheels| wheels.get(architecture()));
    let name = text(wheel.and_then(|wheel| wheel.get("filename")))
        .context("uv.toml has no wheel for this machine")?;
    let path = kept_directory()?.join(&name);
    if !path.exists() {
        let platform = name
            .trim_end_matches(".whl")
            .rsplit(['-', '.'])
            .next()
            .unwrap_or_default();
        let directory = TempDir::new_in(kept_directory()?)?;
        process::run(
            Command::new("python3")
                .args([
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--only-binary=:all:",
                ])
                .args([
                    "--implementation=py",
                    "--abi=none",
                    "--platform",
                    platform,
                    "--dest",
                ])
                .arg(directory.path())
                .arg(format!("uv=={version}")),
        )?;
        fs_err::rename(directory.path().join(&name), &path)?;
    }
    Ok(path)
}
