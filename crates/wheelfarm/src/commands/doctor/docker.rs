//! Whether the Docker engine can run builds.

use std::path::Path;
use std::time::Duration;

use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_executor::{Docker, DockerSettings, EngineFacts, HostNetwork};
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use super::report::{Finding, Report};
use super::{container, gibibytes};
use crate::environment::variable;
use crate::exit::Failure;

/// How long the engine may take to say something.
const PATIENCE: Duration = Duration::from_secs(30);
/// Memory with which a build of any size can be expected to end, in bytes.
const MEMORY: u64 = 2 << 30;
/// Everything about the engine.
pub(super) async fn check(report: &mut Report, runs: &Path, network: HostNetwork, arch: Arch) {
    // What the engine is given here leaves nothing behind.
    let store = match Store::open("memory:").await {
        Ok(store) => store,
        Err(error) => return report.add("engine", Failure::from(error).into()),
    };
    let docker = match within(PATIENCE, connect(runs, store.clone(), network)).await {
        Ok((docker, facts)) => {
            report.add("engine", engine(&facts));
            docker
        }
        Err(failure) => {
            report.add("engine", failure.into());
            for id in ["images", "container"] {
                report.add(id, Finding::skipped("there is no engine"));
            }
            return;
        }
    };
    let catalogue = Catalogue::builtin(arch);
    let listed = within(PATIENCE, async { Ok(docker.list(&catalogue).await?) }).await;
    container::check(report, &docker, &store, listed).await;
    docker.close().await;
}

/// Whether there is an engine. One that is frozen is: the checks say that it is.
pub(super) async fn answers(runs: &Path) -> Result<bool, Failure> {
    let store = Store::open("memory:").await?;
    let connected = Docker::connect(settings(runs, store, HostNetwork::default()));
    Ok(match tokio::time::timeout(PATIENCE, connected).await {
        Ok(Err(error)) => error.kind != ExecutorErrorKind::EngineUnavailable,
        Ok(Ok(_)) | Err(_) => true,
    })
}

fn settings(runs: &Path, store: Store, network: HostNetwork) -> DockerSettings {
    DockerSettings {
        host: variable("DOCKER_HOST"),
        runs_dir: runs.to_owned(),
        store,
        network,
    }
}

async fn connect(
    runs: &Path,
    store: Store,
    network: HostNetwork,
) -> Result<(Docker, EngineFacts), Failure> {
    let docker = Docker::connect(settings(runs, store, network)).await?;
    let facts = docker.about().await?;
    Ok((docker, facts))
}

/// An answer of an engine that may be frozen.
async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(patience, answer)
        .await
        .unwrap_or_else(|_| {
            let message = format!(
                "the Docker engine does not answer within {} s",
                patience.as_secs()
            );
            Err(Failure::machine(message).with_hint(Some(
                "Look whether the daemon runs (`docker version`) and what it is busy with."
                    .to_owned(),
            )))
        })
}

fn engine(facts: &EngineFacts) -> Finding {
    let found = format!(
        "{} {} on {} ({}): {} cores, {}, {}",
        facts.flavour,
        facts.version,
        facts.system,
        facts.architecture,
        facts.cores,
        gibibytes(facts.memory),
        facts.storage_driver
    );
    if !facts.missing_limits.is_empty() {
        let limits = facts.missing_limits.join(" and ");
        return Finding::warning(
            format!("{found}; it cannot limit {limits}"),
            "One build can take all there is: give the engine the control groups (cgroup) that it lacks; a rootless one needs delegation by systemd.",
        );
    }
    if facts.memory < MEMORY {
        return Finding::warning(
            found,
            "Larger packages need more memory than that: builds that run out of it say so.",
        );
    }
    if facts.storage_driver == "vfs" {
        return Finding::warning(
            found,
            "`vfs` copies the whole image for every container: use overlay2 or fuse-overlayfs.",
        );
    }
    Finding::ok(found)
}

#[cfg(test)]
mod tests {
    use wheelfarm_executor::docker::Flavour;

    use super::super::report::State;
    use super::*;

    fn facts() -> EngineFacts {
        EngineFacts {
            flavour: Flavour::Docker,
            version: "28.0.0".to_owned(),
            system: "Debian".to_owned(),
            architecture: "x86_64".to_owned(),
            cores: 4,
            memory: 8 << 30,
            storage_driver: "overlay2".to_owned(),
            missing_limits: Vec::new(),
        }
    }

    #[test]
    fn an_engine_is_described_and_judged() {
        let finding = engine(&facts());
        assert_eq!(finding.state, State::Ok);
        assert_eq!(
            finding.found,
            "Docker 28.0.0 on Debian (x86_64): 4 cores, 8.0 GiB, overlay2"
        );
        let unlimited = EngineFacts {
            missing_limits: vec!["memory", "processes"],
            ..facts()
        };
        let small = EngineFacts {
            memory: 1 << 30,
            ..facts()
        };
        let slow = EngineFacts {
            storage_driver: "vfs".to_owned(),
            ..facts()
        };
        for facts in [unlimited, small, slow] {
            assert_eq!(engine(&facts).state, State::Warning, "{facts:?}");
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_frozen_does_not_freeze_the_doctor() {
        let answer = std::future::pending::<Result<(), Failure>>();
        let failure = within(Duration::ZERO, answer).await.unwrap_err();
        assert!(failure.message.contains("within 0 s"), "{failure:?}");
    }
}
