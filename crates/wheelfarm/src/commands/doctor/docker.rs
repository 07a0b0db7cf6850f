//! Whether the Docker engine can run builds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, Executor, Exit, Limits, LogSink, OUTPUT_DIR};
use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_executor::{Docker, DockerSettings, EngineFacts, HostNetwork, ListedImage};
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use super::gibibytes;
use super::report::{Finding, Report};
use crate::environment::variable;
use crate::exit::Failure;
use crate::units;

/// How long the engine may take to say something.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a container may take that does nothing, in seconds.
const CONTAINER: u64 = 60;
/// Memory with which a build of any size can be expected to end, in bytes.
const MEMORY: u64 = 2 << 30;
/// What the container is given, and gives back.
const INPUT: &str = "wheelfarm doctor\n";
/// Exit codes of the script, and what they mean.
const CONFINEMENT: [(i64, &str); 3] = [
    (11, "it runs as root"),
    (12, "it has a network"),
    (13, "its root file system can be written"),
];
/// Looks at what a build must not have.
const SCRIPT: &str = r#"
if [ "$(id -u)" = 0 ]; then exit 11; fi
routes=0
while read -r _; do routes=$((routes + 1)); done </proc/net/route
if [ "$routes" -gt 1 ]; then exit 12; fi
while read -r _ place _ options _; do
  if [ "$place" = / ]; then case $options in ro|ro,*) ;; *) exit 13 ;; esac; fi
done </proc/mounts
cp /in/question "$0/answer"
"#;

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
    let here = listed.map(|images| here(&images));
    let image = here.as_ref().ok().and_then(|here| here.image.clone());
    report.add(
        "images",
        here.map_or_else(Finding::from, |here| here.finding()),
    );
    let container = match image {
        Some(image) => container(&docker, &store, image).await,
        None => Finding::skipped("there is no image to run"),
    };
    report.add("container", container);
    docker.close().await;
}

async fn connect(
    runs: &Path,
    store: Store,
    network: HostNetwork,
) -> Result<(Docker, EngineFacts), Failure> {
    let docker = Docker::connect(DockerSettings {
        host: variable("DOCKER_HOST"),
        runs_dir: runs.to_owned(),
        store,
        network,
    })
    .await?;
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
        "Docker {} on {} ({}): {} cores, {}, {}",
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

/// What there is to build in.
struct Here {
    builders: Vec<String>,
    /// Builders without the image in which their wheels are proved.
    unproved: Vec<(String, String)>,
    /// One that can be run.
    image: Option<String>,
}

fn here(images: &[ListedImage]) -> Here {
    let mut here = Here {
        builders: Vec::new(),
        unproved: Vec::new(),
        image: None,
    };
    for listed in images {
        let Some(builder) = &listed.builder else {
            continue;
        };
        let name = &listed.image.name;
        here.builders.push(name.clone());
        if listed.runtime.is_none() {
            here.unproved.push((name.clone(), listed.image.command()));
        }
        if !listed.image.emulated && here.image.is_none() {
            let runtime = listed.runtime.as_ref();
            here.image = Some(runtime.unwrap_or(builder).id.clone());
        }
    }
    here
}

impl Here {
    fn finding(&self) -> Finding {
        if self.builders.is_empty() {
            return Finding::failed(
                "there is no builder image",
                "`wheelfarm images build debian-12` makes one from Debian packages, `wheelfarm images pull manylinux_2_28` takes one from its registry.",
            );
        }
        let builders = self.builders.join(", ");
        if let Some((name, command)) = self.unproved.first() {
            return Finding::warning(
                format!(
                    "builders: {builders}; wheels of {name} cannot be proved, since its runtime is not here"
                ),
                format!("`{command}`"),
            );
        }
        Finding::ok(format!("builders, with their runtimes: {builders}"))
    }
}

/// Whether a container runs as those of builds do: confined, with an input and an output.
async fn container(docker: &Docker, store: &Store, image: String) -> Finding {
    let start = Instant::now();
    match run(docker, store, image).await {
        Ok(()) => Finding::ok(format!(
            "one ran in {}: no root, no network, read-only",
            units::time(start.elapsed().as_secs_f64())
        )),
        Err(failure) => failure.into(),
    }
}

async fn run(docker: &Docker, store: &Store, image: String) -> Result<(), Failure> {
    let question = store.put(INPUT.into()).await?;
    let log: LogSink = Arc::new(|_| {});
    let listener = log.into();
    let action = Action {
        name: "doctor".to_owned(),
        image,
        inputs: BTreeMap::from([("question".to_owned(), question)]),
        tools: BTreeMap::new(),
        trees: BTreeMap::new(),
        command: ["sh", "-c", SCRIPT, OUTPUT_DIR].map(str::to_owned).into(),
        environment: BTreeMap::new(),
        network: false,
        keep_failed: false,
        compiler_cache: None,
        cores: None,
        limits: Limits {
            cores: 1.0,
            memory: 256 << 20,
            pids: 64,
            time: Duration::from_secs(CONTAINER),
            scratch: 16 << 20,
            output: 1 << 20,
            log: 64 << 10,
        },
    };
    let result = docker
        .run(&action, listener, &CancellationToken::new())
        .await?;
    let answer = result.outputs.get("answer");
    if result.exit == Exit::Code(0) && answer.is_some_and(|answer| answer == INPUT) {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&result.log).into_owned();
    Err(unlike(result.exit, &log))
}

/// A container that did not do what containers of builds do.
fn unlike(exit: Exit, log: &str) -> Failure {
    let confined = CONFINEMENT
        .iter()
        .find(|(code, _)| exit == Exit::Code(*code));
    if let Some((_, what)) = confined {
        return Failure::machine(format!("a container is not confined: {what}")).with_hint(Some(
            "Builds must not have that: look at the engine's configuration.".to_owned(),
        ));
    }
    let last = log.lines().rfind(|line| !line.trim().is_empty());
    let detail = last.map_or_else(|| format!("{exit:?}"), |line| format!("{exit:?}, {line}"));
    Failure::machine(format!("a container does not do what it should: {detail}")).with_hint(Some(
        "Look whether `docker run` works there at all, and at the engine's own log.".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    fn facts() -> EngineFacts {
        EngineFacts {
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

    #[test]
    fn an_image_without_its_runtime_is_named() {
        let mut here = Here {
            builders: Vec::new(),
            unproved: Vec::new(),
            image: None,
        };
        assert_eq!(here.finding().state, State::Failed);
        here.builders.push("debian-12".to_owned());
        assert_eq!(here.finding().state, State::Ok);
        let command = "wheelfarm images build debian-12".to_owned();
        here.unproved.push(("debian-12".to_owned(), command));
        let finding = here.finding();
        assert_eq!(finding.state, State::Warning);
        assert!(finding.hint.unwrap().contains("images build debian-12"));
    }

    #[test]
    fn what_is_wrong_with_a_container_is_said() {
        let failure = unlike(Exit::Code(12), "");
        assert!(failure.message.contains("has a network"), "{failure:?}");
        let failure = unlike(Exit::Code(1), "sh: cp: not found\n\n");
        assert!(failure.message.contains("cp: not found"), "{failure:?}");
        assert!(unlike(Exit::TimedOut, "").hint.is_some());
    }

    #[tokio::test]
    async fn an_engine_that_is_frozen_does_not_freeze_the_doctor() {
        let answer = std::future::pending::<Result<(), Failure>>();
        let failure = within(Duration::ZERO, answer).await.unwrap_err();
        assert!(failure.message.contains("within 0 s"), "{failure:?}");
    }
}
