//! What was done before is not done again, if it is of use.

use std::sync::Arc;

use prost::Message;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Executor, Exit, LogSink};
use wheelfarm_reapi::fake::{Step, messages};

use crate::support::{Cluster, result, success};

#[tokio::test]
async fn a_result_of_the_action_cache_is_taken_and_nothing_is_sent() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    let action = cluster.action().await;
    let name = cluster.name_of(&action).await;
    state.put_result(&name, result(state, 0));
    let (executed, asked) = (state.count("Execute"), state.count("FindMissingBlobs"));
    let again = cluster.run(&action).await.unwrap();
    assert_eq!(again.exit, Exit::Code(0));
    assert_eq!(again.outputs["wheel"], "content");
    assert_eq!(again.log, "log\n");
    assert!(again.execution.unwrap().cached);
    assert_eq!(state.count("Execute"), executed);
    assert_eq!(state.count("FindMissingBlobs"), asked);
    assert_eq!(cluster.reapi.hits(), Some(1));
}

#[tokio::test]
async fn a_failure_of_the_action_cache_is_tried_again() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    let action = cluster.action().await;
    let name = cluster.name_of(&action).await;
    state.put_result(&name, result(state, 3));
    state.work(|state, _| success(state));
    let executed = state.count("Execute");
    let again = cluster.run(&action).await.unwrap();
    assert_eq!(again.exit, Exit::Code(0));
    assert_eq!(state.count("Execute"), executed + 1);
    assert_eq!(cluster.reapi.hits(), Some(0), "nothing was taken");
}

#[tokio::test]
async fn who_wants_it_run_anew_gets_no_earlier_result() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    let action = cluster.action().await;
    let name = cluster.name_of(&action).await;
    state.put_result(&name, result(state, 0));
    let executed = state.count("Execute");
    let log: LogSink = Arc::new(|_| {});
    let cancel = CancellationToken::new();
    let run = cluster.reapi.run_anew(&action, log.into(), &cancel);
    let execution = run.await.unwrap().execution.unwrap();
    assert!(!execution.cached);
    assert_eq!(state.count("Execute"), executed + 1);

    // An engine that does not listen.
    state.work(|state, _| {
        vec![Step::Done(Box::new(messages::ExecuteResponse {
            result: Some(result(state, 0)),
            cached_result: true,
            ..Default::default()
        }))]
    });
    let log: LogSink = Arc::new(|_| {});
    let run = cluster.reapi.run_anew(&action, log.into(), &cancel);
    let error = run.await.unwrap_err();
    assert!(error.message.contains("an earlier run"), "{error}");
}

#[tokio::test]
async fn a_result_whose_outputs_are_gone_is_made_again() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    let action = cluster.action().await;
    let name = cluster.name_of(&action).await;
    let gone = result(state, 0);
    let tree = gone.output_directories[0].tree_digest.as_ref().unwrap();
    let tree = tree.try_into().unwrap();
    state.put_result(&name, gone);
    state.expire(&tree);
    state.work(|state, _| success(state));
    let executed = state.count("Execute");
    let again = cluster.run(&action).await.unwrap();
    assert_eq!(again.outputs["wheel"], "content");
    assert!(!again.execution.unwrap().cached);
    assert_eq!(state.count("Execute"), executed + 1);
}

#[tokio::test]
async fn a_corrupted_output_of_the_cache_is_never_taken() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    let action = cluster.action().await;
    let name = cluster.name_of(&action).await;
    let wheel = state.put("content");
    state.put_result(&name, result(state, 0));
    state.corrupt(&wheel);
    state.work(|state, _| {
        // A worker that makes it anew.
        let mut result = result(state, 0);
        result.output_directories = vec![crate::support::output(state, &[("wheel", "anew")])];
        wheelfarm_reapi::fake::completed(result)
    });
    let again = cluster.run(&action).await.unwrap();
    assert_eq!(again.outputs["wheel"], "anew");
}

#[tokio::test]
async fn the_same_action_has_the_same_name_and_what_matters_is_in_it() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    let action = cluster.action().await;
    let name = cluster.name_of(&action).await;
    cluster.run(&action).await.unwrap();
    assert_eq!(state.count("Execute"), 1, "it was known by another name");
    let blob = state.blob(&name).unwrap();
    let message = messages::Action::decode(blob).unwrap();
    let command = message.command_digest.as_ref().unwrap().try_into().unwrap();
    let command = messages::Command::decode(state.blob(&command).unwrap()).unwrap();
    let platform = message.platform.unwrap();
    let properties: Vec<_> = platform
        .properties
        .iter()
        .map(|property| (property.name.as_str(), property.value.as_str()))
        .collect();
    assert_eq!(
        properties,
        [
            ("cpu", "2"),
            ("memory", "1024"),
            ("pool", "debian-12-libpq-dev+zlib1g-dev"),
        ]
    );
    assert_eq!(command.working_directory, "build");
    assert_eq!(message.timeout.unwrap().seconds, 60);

    let mut other = action.clone();
    other.network = true;
    let other = cluster.name_of(&other).await;
    assert_ne!(other, name);
    let message = messages::Action::decode(state.blob(&other).unwrap()).unwrap();
    let properties = message.platform.unwrap().properties;
    let network = properties
        .iter()
        .find(|property| property.name == "network");
    assert_eq!(network.unwrap().value, "on");
}
