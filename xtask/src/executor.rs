//! What runs builds and keeps their images: a Docker engine, or the sandbox.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::bare::BareRuntime;
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::process;

/// What runs builds and keeps their images.
#[derive(Debug)]
pub(crate) enum Executor {
    Docker(Engine),
    /// With its directory.
    Sandbox(PathBuf),
}

impl Executor {
    /// The engine; an error if it does not answer.
    pub(crate) fn docker() -> Result<Self> {
        Ok(Self::Docker(Engine::connect()?))
    }

    /// As the program chooses: Docker if it answers, else the sandbox, which is to be in `directory`.
    pub(crate) fn there_is(directory: PathBuf) -> Self {
        match Engine::connect() {
            Ok(engine) => Self::Docker(engine),
            Err(error) => {
                eprintln!("builds will run in the sandbox: {error:#}");
                Self::Sandbox(directory)
            }
        }
    }

    /// The program, told to build here.
    pub(crate) fn command(&self, wheelfarm: &Path) -> Command {
        let mut command = Command::new(wheelfarm);
        match self {
            Self::Docker(_) => command.env("WHEELFARM_EXECUTOR", "docker"),
            Self::Sandbox(directory) => command
                .env("WHEELFARM_EXECUTOR", "sandbox")
                .env("WHEELFARM_SANDBOX_DIR", directory),
        };
        command
    }

    /// Whether the image `name` and its bare runtime are here.
    pub(crate) fn has_image(&self, wheelfarm: &Path, name: &str) -> Result<bool> {
        let mut list = self.command(wheelfarm);
        let listed = process::run(list.args(["images", "list", "--format", "json"]))?;
        let listed: Value = serde_json::from_str(&listed)?;
        let images = listed.get("images").and_then(Value::as_array);
        let is_named = |image: &&Value| image.get("name").and_then(Value::as_str) == Some(name);
        let image = images.and_then(|images| images.iter().find(is_named));
        let image = image.with_context(|| format!("`images list` does not show {name}"))?;
        let is = |key: &str| image.get(key).and_then(Value::as_bool) == Some(true);
        Ok(is("here") && is("runtime_here"))
    }

    /// The bare runtime for wheels built in `image`, run by a program that is not ours.
    pub(crate) fn bare_runtime(&self, image: &str) -> Result<BareRuntime> {
        match self {
            Self::Docker(engine) => Ok(BareRuntime::of(engine, image)),
            Self::Sandbox(directory) => BareRuntime::of_sandbox(directory, image),
        }
    }
}
