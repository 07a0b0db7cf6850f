//! Whether there are images, and whether a container of one runs as those of builds do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wheelfarm_build::Executor;
use wheelfarm_build::action::{Action, ActionResult, Exit, Limits, LogSink, OUTPUT_DIR};
use wheelfarm_executor::ListedImage;
use wheelfarm_store::Store;

use super::report::{Finding, Report};
use crate::exit::Failure;
use crate::units;

/// How long a container may take that does nothing.
const TIME: Duration = Duration::from_secs(60);
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

/// Looks at `listed`, the images that are here, and runs one.
pub(super) async fn check(
    report: &mut Report,
    executor: &dyn Executor,
    store: &Store,
    listed: Result<Vec<ListedImage>, Failure>,
) {
    let here = listed.map(|images| here(&images));
    let image = here.as_ref().ok().and_then(|here| here.image.clone());
    report.add(
        "images",
        here.map_or_else(Finding::from, |here| here.finding()),
    );
    let container = match image {
        Some(image) => container(executor, store, image).await,
        None => Finding::skipped("there is no image to run"),
    };
    report.add("container", container);
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
async fn container(executor: &dyn Executor, store: &Store, image: String) -> Finding {
    let start = Instant::now();
    match confined(executor, store, image).await {
        Ok(()) => Finding::ok(format!(
            "one ran in {}: no root, no network, read-only",
            units::time(start.elapsed().as_secs_f64())
        )),
        Err(failure) => failure.into(),
    }
}

async fn confined(executor: &dyn Executor, store: &Store, image: String) -> Result<(), Failure> {
    let question = store.put(INPUT.into()).await?;
    let action = Action {
        inputs: BTreeMap::from([("question".to_owned(), question)]),
        ..action(image, SCRIPT)
    };
    let result = run(executor, &action).await?;
    let answer = result.outputs.get("answer");
    if result.exit == Exit::Code(0) && answer.is_some_and(|answer| answer == INPUT) {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&result.log).into_owned();
    Err(unlike(result.exit, &log))
}

/// One that runs `script` with little of everything; its first argument is the output directory.
pub(super) fn action(image: String, script: &str) -> Action {
    Action {
        name: "doctor".to_owned(),
        image,
        inputs: BTreeMap::new(),
        tools: BTreeMap::new(),
        trees: BTreeMap::new(),
        command: ["sh", "-c", script, OUTPUT_DIR].map(str::to_owned).into(),
        environment: BTreeMap::new(),
        network: false,
        keep_failed: false,
        compiler_cache: None,
        cores: Some(1),
        limits: Limits {
            cores: 1.0,
            memory: 256 << 20,
            pids: 64,
            time: TIME,
            scratch: 16 << 20,
            output: 1 << 20,
            log: 64 << 10,
        },
    }
}

/// Runs it to its end; nobody reads along.
pub(super) async fn run(executor: &dyn Executor, action: &Action) -> Result<ActionResult, Failure> {
    let log: LogSink = Arc::new(|_| {});
    let cancel = CancellationToken::new();
    Ok(executor.run(action, log.into(), &cancel).await?)
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
        "Look whether containers run there at all (`docker run`, `crun run`), and at the engine's own log.".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

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
}
