//! Whether a Remote Execution cluster can run builds.

use std::collections::BTreeMap;
use std::time::Instant;

use wheelfarm_build::action::{Action, Exit};
use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_executor::reapi::Reapi;
use wheelfarm_reapi::{BlobDigest, Capabilities, Content};
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use super::report::{Finding, Report};
use super::{Machine, container};
use crate::config::Config;
use crate::engine;
use crate::exit::Failure;
use crate::settings::Places;
use crate::units;

/// What storage is given, and gives back.
const CONTENT: &str = "wheelfarm doctor\n";
/// Says who it is and how many routes of the network there are.
const SCRIPT: &str = r#"
routes=0
while read -r _; do routes=$((routes + 1)); done </proc/net/route
echo "$(id -u) $routes" >"$0/answer"
"#;

/// Everything about the cluster.
pub(super) async fn check(report: &mut Report, machine: Machine, config: &Config, arch: Arch) {
    let Machine {
        cache,
        network,
        sandbox,
        store,
    } = machine;
    let Some(store) = store else {
        return skip(
            report,
            &["cluster", "storage", "images", "action"],
            "there is no store",
        );
    };
    let places = Places {
        cache,
        sandbox,
        store,
    };
    let reapi = match engine::reapi(&places, config, network).await {
        Ok(reapi) => {
            report.add("cluster", cluster(reapi.client().capabilities()));
            reapi
        }
        Err(failure) => {
            report.add("cluster", failure.into());
            return skip(
                report,
                &["storage", "images", "action"],
                "there is no cluster",
            );
        }
    };
    report.add("storage", storage(&reapi).await);
    let (finding, image) = images(&reapi, &places.store, arch).await;
    report.add("images", finding);
    report.add(
        "action",
        match image {
            Some(image) => action(&reapi, image).await,
            None => Finding::skipped("there is no image to run"),
        },
    );
    reapi.close().await;
}

fn skip(report: &mut Report, ids: &[&'static str], why: &str) {
    for id in ids {
        report.add(id, Finding::skipped(why));
    }
}

/// What the cluster says of itself.
fn cluster(capabilities: &Capabilities) -> Finding {
    let version = match &capabilities.versions {
        (_, Some(high)) => format!("speaks version {high}"),
        _ => "does not say its version".to_owned(),
    };
    let compression = if capabilities.zstd {
        "zstd"
    } else {
        "no compression"
    };
    let priorities = if capabilities.priorities.is_empty() {
        "no priorities"
    } else {
        "priorities"
    };
    let found = format!(
        "it {version}, takes {} at a time, {compression}, {priorities}",
        units::size(capabilities.batch_bytes)
    );
    if capabilities.action_cache_update {
        return Finding::warning(
            format!("{found}; whoever reaches it may write its action cache"),
            "Who may write there can forge results: let workers alone do it, and nobody else reach them.",
        );
    }
    Finding::ok(found)
}

/// Whether content that is sent comes back.
async fn storage(reapi: &Reapi) -> Finding {
    let client = reapi.client();
    let digest = BlobDigest::of(CONTENT);
    let start = Instant::now();
    let content = Content::Given(CONTENT.into());
    let back = async {
        client.upload(vec![(digest, content)], &|_| {}).await?;
        client.read(&digest, digest.size).await
    };
    match back.await {
        Ok(bytes) if bytes == CONTENT => Finding::ok(format!(
            "a blob went there and back in {}",
            units::time(start.elapsed().as_secs_f64())
        )),
        Ok(_) => Finding::failed(
            "it gave another blob back than it got",
            "Look at its own log.",
        ),
        Err(error) => Finding::failed(error.message, error.hint.unwrap_or_default()),
    }
}

/// Which images the cluster was sent, and one to run.
async fn images(reapi: &Reapi, store: &Store, arch: Arch) -> (Finding, Option<String>) {
    let look = async {
        let mut catalogue = Catalogue::builtin(arch);
        wheelfarm_build::pythons::add_compiled(&mut catalogue, store).await?;
        let (mut names, mut handle) = (Vec::new(), None);
        for image in catalogue.images() {
            if let Some(runtime) = reapi.known_runtime(image).await? {
                names.push(image.name.clone());
                handle.get_or_insert(runtime.id);
            }
        }
        Ok::<_, Failure>((names, handle))
    };
    let hint = "`wheelfarm images push` sends those that are on this machine; a build does so as well, when it needs one.";
    match look.await {
        Err(failure) => (failure.into(), None),
        Ok((names, handle)) if !names.is_empty() => {
            let found = format!("sent: {}", names.join(", "));
            (Finding::ok(found), handle)
        }
        Ok(_) if reapi.has_engine() => (
            Finding::warning("none was sent with this store yet", hint),
            None,
        ),
        Ok(_) => (
            Finding::failed(
                "none was sent with this store, and there is no container engine here that could make one",
                "A machine with a container engine sends them, once: `wheelfarm images push` there, with the same store.",
            ),
            None,
        ),
    }
}

/// Whether an action runs as those of builds do: with an input and an output, without a network.
async fn action(reapi: &Reapi, image: String) -> Finding {
    let start = Instant::now();
    match run(reapi, image).await {
        Ok(answer) => {
            let took = units::time(start.elapsed().as_secs_f64());
            judged(&answer, &took)
        }
        Err(failure) => failure.into(),
    }
}

fn judged(answer: &str, took: &str) -> Finding {
    let mut words = answer.split_whitespace();
    let (user, routes) = (words.next(), words.next());
    let routes = routes.and_then(|routes| routes.parse::<u32>().ok());
    // One line is the heading.
    if routes.is_none_or(|routes| routes == 0) {
        return Finding::failed(
            "an action cannot see whether it has a network: it has no `/proc`",
            "Builds need it. Workers that run an image's root file system have a setting for it: Buildbarn calls it `inputRootMounts`.",
        );
    }
    if routes != Some(1) {
        return Finding::failed(
            "an action has a network",
            "Builds must not have one: with buildbox use the bubblewrap runner; hosted engines have a property, such as `dockerNetwork = \"off\"`.",
        );
    }
    if user == Some("0") {
        return Finding::warning(
            format!("one ran in {took}: no network, as root of its sandbox"),
            "Engines that can run actions as somebody else have properties for it: with buildbox `unixUID = \"65532\"` and `unixGID = \"65532\"`.",
        );
    }
    Finding::ok(format!("one ran in {took}: no root, no network"))
}

async fn run(reapi: &Reapi, image: String) -> Result<String, Failure> {
    // Another one each time, or the answer would be that of the last time.
    let now = crate::environment::clock().to_rfc3339();
    let action = Action {
        environment: BTreeMap::from([("WHEELFARM_DOCTOR".to_owned(), now)]),
        ..container::action(image, SCRIPT)
    };
    let result = container::run(reapi, &action).await?;
    match result.outputs.get("answer") {
        Some(answer) if result.exit == Exit::Code(0) => {
            Ok(String::from_utf8_lossy(answer).into_owned())
        }
        _ => {
            let log = String::from_utf8_lossy(&result.log).into_owned();
            Err(Failure::machine(format!(
                "an action does not do what it should: {:?}, {}",
                result.exit,
                log.trim()
            ))
            .with_hint(Some("Look at the worker's own log.".to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    #[test]
    fn an_action_is_judged_by_what_it_says() {
        for (answer, state) in [
            ("65532 1\n", State::Ok),
            ("0 1\n", State::Warning),
            ("65532 3\n", State::Failed),
            ("0 2\n", State::Failed),
            ("65532 0\n", State::Failed),
            ("", State::Failed),
        ] {
            assert_eq!(judged(answer, "1 s").state, state, "{answer}");
        }
    }
}
