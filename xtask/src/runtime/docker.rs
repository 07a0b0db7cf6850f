//! The engine's command line, as the pages of the examples show it.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::process::run;

/// `docker` with these words; what it printed.
pub(super) fn docker(words: &[&str]) -> Result<String> {
    run(Command::new("docker").args(words))
}

/// An image to be built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build<'a> {
    /// The directory that is sent to the engine.
    pub(super) context: &'a Path,
    /// The Dockerfile's name in it.
    pub(super) dockerfile: &'a str,
    /// What the image is called.
    pub(super) tag: &'a str,
    /// Values of `ARG`s.
    pub(super) arguments: &'a [(&'a str, &'a str)],
}

/// What builds may take from the engine's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cache<'a> {
    /// All that earlier builds left.
    Warm,
    /// Nothing, as on a machine that is new.
    Empty,
    /// What this image was built of, and nothing else.
    Image(&'a str),
}

/// Which of the engine's two builders works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builder {
    /// The one of old, the default up to Docker 22.
    Classic,
    /// `BuildKit`.
    BuildKit,
}

impl Build<'_> {
    /// Builds; how many seconds it took.
    pub(super) fn run(&self, builder: Builder, cache: Cache<'_>) -> Result<f64> {
        let (client, buildkit) = match builder {
            Builder::Classic => ("docker", "0"),
            Builder::BuildKit => (buildkit_client()?, "1"),
        };
        let mut command = Command::new(client);
        command.env("DOCKER_BUILDKIT", buildkit);
        // What the usual builds download comes by the machine's network.
        command.args(["build", "--network", "host", "--quiet"]);
        match cache {
            Cache::Warm => &mut command,
            Cache::Empty => command.arg("--no-cache"),
            Cache::Image(image) => command.args(["--cache-from", image]),
        };
        for (name, value) in self.arguments {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        command
            .args(["--tag", self.tag, "--file"])
            .arg(self.context.join(self.dockerfile))
            .arg(self.context);
        let start = Instant::now();
        run(&mut command)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// A command line that can use `BuildKit`: from Docker 23 on it needs the plug-in buildx, before it does not. Where there
/// are two, the distribution's is the older.
fn buildkit_client() -> Result<&'static str> {
    let can = |client: &&str| {
        let answers = |words: &[&str]| run(Command::new(client).args(words)).ok();
        let version = answers(&["version", "--format", "{{.Client.Version}}"]);
        let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        major.is_some_and(|major| major < 23) || answers(&["buildx", "version"]).is_some()
    };
    let mut clients = ["docker", "/usr/bin/docker"].into_iter();
    clients
        .find(can)
        .context("no `docker` here can use BuildKit: install its plug-in buildx")
}
