//! Farms that build on one engine or another, and what is left there of them.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::docker::Engine;
use crate::environment::{architecture, variable};
use crate::farm::Farm;
use crate::process::wait_for;
use crate::sandbox::Sandbox;

/// What tests build in.
const IMAGES: [&str; 2] = ["debian-12", "debian-12-runtime"];

/// How long processes of a dead run may take to end.
const LIMIT: Duration = Duration::from_secs(10);

/// What runs the builds of a farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The machine's Docker, or what `DOCKER_HOST` names.
    Docker,
    /// The Podman that `cargo xtask` starts.
    Podman,
    /// No engine.
    Sandbox,
}

/// The Podman of the tests, if it was started: `WHEELFARM_TEST_PODMAN` says where.
pub fn podman() -> Option<Engine> {
    variable("WHEELFARM_TEST_PODMAN").map(|host| Engine::at(&host))
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Docker, Self::Podman, Self::Sandbox];

    /// A farm with an empty store.
    pub fn farm(self) -> Result<Farm> {
        match self {
            Self::Docker => Farm::new(),
            Self::Podman => {
                static IMAGES: LazyLock<Result<(), String>> = LazyLock::new(|| {
                    let given = Kind::Podman
                        .engine()
                        .and_then(|podman| give_images(&podman));
                    given.map_err(|error| format!("{error:#}"))
                });
                if let Err(message) = &*IMAGES {
                    bail!("{message}");
                }
                Ok(Farm::new()?.with("DOCKER_HOST", self.engine()?.host()))
            }
            Self::Sandbox => Ok(Sandbox::shared()?
                .farm()?
                .with("WHEELFARM_EXECUTOR", "sandbox")),
        }
    }

    /// The engine, of those that are behind Docker's interface.
    fn engine(self) -> Result<Engine> {
        match self {
            Self::Docker => Engine::connect(),
            Self::Podman => podman().context("Podman was not started"),
            Self::Sandbox => bail!("the sandbox is no engine"),
        }
    }

    /// Waits until nothing runs any more of a run that was killed. In the sandbox that is soon; an engine goes on until the
    /// next run.
    pub fn wait_for_end(self, farm: &Farm) -> Result<()> {
        if self != Self::Sandbox {
            return Ok(());
        }
        let left = self.left(farm)?;
        wait_for("the end of containers that nobody owns", LIMIT, || {
            Ok((!is_seen(&left)?).then_some(()))
        })
    }

    /// What runs of `farm` left there, tools aside: containers and volumes; of the sandbox, which farms share, the
    /// directories whose owner is dead.
    pub fn left(self, farm: &Farm) -> Result<Vec<String>> {
        if self == Self::Sandbox {
            return Sandbox::shared()?.ownerless();
        }
        let engine = self.engine()?;
        let containers = engine.farm_containers(&farm.cache())?.into_iter();
        let mut left: Vec<_> = containers.map(|container| container.action).collect();
        left.extend(engine.farm_volumes(&farm.cache())?);
        Ok(left)
    }
}

/// Whether a process sees what is mounted of one of these directories.
fn is_seen(directories: &[String]) -> Result<bool> {
    for entry in fs_err::read_dir("/proc")? {
        // One that has ended meanwhile has none.
        let mounts = fs_err::read_to_string(entry?.path().join("mountinfo")).unwrap_or_default();
        if directories
            .iter()
            .any(|name| mounts.contains(name.as_str()))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives this Podman those images of Docker that tests use.
pub fn give_images(podman: &Engine) -> Result<()> {
    for image in IMAGES {
        let name = format!("wheelfarm/{image}:{}", architecture());
        if !podman.has_image(&name)? {
            Engine::connect()?.copy_image(&name, podman)?;
        }
    }
    Ok(())
}
